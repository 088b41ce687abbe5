"""Charts of an evaluation as SVG: a confusion matrix and precision-recall curves."""
