"""Fonts and colours of the diagram.

What a colour says is also written as a sign, so a picture without colours can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.views.diagram.model import Tone

FONTS = "Arial, Helvetica, 'Liberation Sans', Arimo, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """One colour for each role. Within a theme every role has a colour of its own, which the HTML page relies on."""

    page: str
    card: str
    line: str
    """Borders, and the links of the chain."""
    text: str
    faint: str
    """Layer numbers, column heads and weights."""
    header: str
    header_text: str
    header_faint: str
    repeat: str
    repeat_text: str
    reduced: str
    reduced_text: str
    kept: str
    kept_text: str
    expanded: str
    expanded_text: str
    projected: str
    projected_text: str
    head: str
    head_text: str
    head_line: str
    """Links to heads."""
    saves: str
    costs: str
    reused: str
    changed: str
    """Behind what differs from the other network."""

    def cell(self, tone: Tone) -> tuple[str, str]:
        """Fill and text of a cell."""
        return getattr(self, tone), getattr(self, f"{tone}_text")

    def roles(self) -> dict[str, str]:
        """Role to colour."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


LIGHT = Theme(
    page="#FFFFFF",
    card="#FFFFFE",
    line="#343A40",
    text="#212529",
    faint="#4A5158",
    header="#343A41",
    header_text="#FFFFFD",
    header_faint="#F1F3F6",
    repeat="#495056",
    repeat_text="#FEFFFF",
    reduced="#FFD9AD",
    reduced_text="#6B2E00",
    kept="#F1F3F5",
    kept_text="#495057",
    expanded="#CFE4F7",
    expanded_text="#0A3A66",
    projected="#FBDFDC",
    projected_text="#7A120C",
    head="#C92A2A",
    head_text="#FEFEFF",
    head_line="#C92A2B",
    saves="#1B5E20",
    costs="#9B1C1C",
    reused="#5F3DC4",
    changed="#FFF3BF",
)

DARK = Theme(
    page="#16191D",
    card="#1F2328",
    line="#9AA4AE",
    text="#E9ECEF",
    faint="#ADB5BD",
    header="#3D444D",
    header_text="#FFFFFF",
    header_faint="#DEE2E6",
    repeat="#5C6670",
    repeat_text="#FFFFFE",
    reduced="#5C3206",
    reduced_text="#FFD8A8",
    kept="#2B3036",
    kept_text="#CED4DA",
    expanded="#0F3A5F",
    expanded_text="#C5E1FA",
    projected="#5E1915",
    projected_text="#FFD5D2",
    head="#C22929",
    head_text="#FFFFFD",
    head_line="#FF8787",
    saves="#8CE99A",
    costs="#FFA8A8",
    reused="#B9A5FF",
    changed="#4A4312",
)

PRINT = Theme(
    page="#FFFFFF",
    card="#FFFFFE",
    line="#000000",
    text="#000001",
    faint="#333333",
    header="#FFFFFC",
    header_text="#000002",
    header_faint="#222222",
    repeat="#DDDDDD",
    repeat_text="#000003",
    reduced="#C4C4C4",
    reduced_text="#000004",
    kept="#FFFFFD",
    kept_text="#333334",
    expanded="#E8E8E8",
    expanded_text="#000005",
    projected="#A0A0A0",
    projected_text="#000006",
    head="#444444",
    head_text="#FEFEFE",
    head_line="#444445",
    saves="#222223",
    costs="#111111",
    reused="#555555",
    changed="#F2F2F2",
)

THEMES = {"light": LIGHT, "dark": DARK, "print": PRINT}
