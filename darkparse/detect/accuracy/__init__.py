"""How well a detector finds what annotated pictures hold: Darknet's measure and COCO's."""
