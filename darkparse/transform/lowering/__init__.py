"""Lowering of foreign cfgs and their state dicts to plain Darknet."""
