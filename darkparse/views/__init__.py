"""What people read: tables, explanations, diagrams. Nothing here changes a network or needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse.lazy import lazy

if TYPE_CHECKING:
    from darkparse.views.diagram.diagram import Diagram, draw
    from darkparse.views.text.explanation import explain

__all__ = ["Diagram", "draw", "explain"]

__getattr__ = lazy(__name__, {"diagram.diagram": ("Diagram", "draw"), "text.explanation": ("explain",)})
