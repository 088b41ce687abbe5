"""Positions of everything on the page, found pass by pass."""
