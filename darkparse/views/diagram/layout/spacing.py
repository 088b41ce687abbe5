"""Distances of a page in points: wide ones between cards of layers, narrow ones between boxes of an overview."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distances between boxes and links."""

    margin: float
    """Margin around the page."""
    level_gap: float
    """Height of a horizontal channel without lanes, with room for the label of a link or of a band."""
    channel_offset: float
    """Distance from the first lane of a horizontal channel to the level below."""
    exit_width: float
    """Space in a vertical channel before its lanes, for output shapes."""
    entry_width: float
    """Space in a vertical channel after its lanes, for arrowheads and source names."""
    min_channel_width: float
    lane: float
    """Distance between parallel links."""
    end_margin: float
    """Space behind the lanes of the last vertical channel."""
    title_gap: float
    notes_gap: float
    has_labels: bool = True
    """Whether links have labels, which need room in the vertical channels."""


CARD_SPACING = Spacing(
    margin=12,
    level_gap=30,
    channel_offset=12,
    exit_width=64,
    entry_width=28,
    min_channel_width=26,
    lane=9,
    end_margin=8,
    title_gap=14,
    notes_gap=4,
)
OVERVIEW_SPACING = Spacing(
    margin=5,
    level_gap=15,
    channel_offset=12,
    exit_width=7,
    entry_width=9,
    min_channel_width=7,
    lane=5,
    end_margin=4,
    title_gap=11,
    notes_gap=2,
    has_labels=False,
)
