"""Fonts and colors of the diagram.

Signs repeat the meaning of the colors, so that the diagram is readable without colors.
"""

from __future__ import annotations

import re
from typing import Literal

from darkparse.views.diagram.font_metrics import X_HEIGHT

ThemeName = Literal["light", "dark", "print"]
DEFAULT_THEME: ThemeName = "light"
"""Default theme; the dark theme replaces it if the system's color scheme is dark."""
FONTS = "Arial, Helvetica, 'Liberation Sans', Arimo, Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
# Colors of each role in the light, dark and print themes.
_ROLES = {
    "page": "#FFFFFF #16191D #FFFFFF",
    "card": "#FFFFFF #1F2328 #FFFFFF",
    # Borders, and links between consecutive layers.
    "line": "#343A40 #9AA4AE #000000",
    "text": "#212529 #E9ECEF #000000",
    # Layer numbers, column headings and weights.
    "faint": "#4A5158 #ADB5BD #333333",
    "header": "#343A40 #3D444D #FFFFFF",
    "header_text": "#FFFFFF #FFFFFF #000000",
    "repeat": "#495057 #5C6670 #DDDDDD",
    "repeat_text": "#FFFFFF #FFFFFF #000000",
    "reduced": "#FFD9AD #5C3206 #C4C4C4",
    "reduced_text": "#6B2E00 #FFD8A8 #000000",
    "kept": "#F1F3F5 #2B3036 #FFFFFF",
    "kept_text": "#495057 #CED4DA #333333",
    "expanded": "#CFE4F7 #0F3A5F #E8E8E8",
    "expanded_text": "#0A3A66 #C5E1FA #000000",
    "projected": "#FBDFDC #5E1915 #A0A0A0",
    "projected_text": "#7A120C #FFD5D2 #000000",
    "head": "#C92A2A #C22929 #444444",
    "head_text": "#FFFFFF #FFFFFF #FFFFFF",
    # Links to heads.
    "head_line": "#C92A2A #FF8787 #444444",
    "saves": "#1B5E20 #8CE99A #222222",
    # Notes on blocks that cost more than a direct convolution.
    "costs": "#B3261E #FF8787 #000000",
    "reused": "#5F3DC4 #B9A5FF #555555",
    # Background of layers that differ from the other network.
    "changed": "#FFF3BF #4A4312 #F2F2F2",
    # Share of the whole network's cost.
    "price": "#D9CFFB #41367A #CCCCCC",
    "price_text": "#3B2A8C #E4DCFF #000000",
    # The same share below the header of a card.
    "price_line": "#B8A6F5 #B9A5FF #999999",
    # Area behind the stages of one part in the overview, and the ticks of layers.
    "band": "#F4F5F7 #1B1F24 #F7F7F7",
    "tick_reduced": "#E8590C #FF922B #333333",
    "tick_kept": "#CED4DA #495057 #D9D9D9",
    "tick_expanded": "#1C7ED6 #4DABF7 #8C8C8C",
    "tick_projected": "#C92A2A #FF6B6B #000000",
    "overlay": "#BFE8D4 #17503A #CCCCCC",
    "overlay_text": "#0B4A31 #C9F2DF #000000",
}
_NAMES: tuple[ThemeName, ...] = ("light", "dark", "print")
THEMES: dict[str, dict[str, str]] = {
    name: {role: colors.split()[number] for role, colors in _ROLES.items()} for number, name in enumerate(_NAMES)
}

_FILLED = ("reduced", "kept", "expanded", "projected", "header", "repeat", "head", "price", "overlay")
_TICKS = ("tick_reduced", "tick_kept", "tick_expanded", "tick_projected")
_FILL_RULE = ".darkparse .{0} rect{{fill:var(--{0})}}.darkparse .{0} text{{fill:var(--{0}_text)}}"
_STYLE = f"""{"".join(map(_FILL_RULE.format, _FILLED))}
.darkparse text{{fill:var(--text);font-size-adjust:{X_HEIGHT};text-rendering:geometricPrecision;font-kerning:none}}
.darkparse .page{{fill:var(--page)}}
.darkparse .frame{{fill:var(--card);stroke:var(--line)}}
.darkparse rect.price{{fill:var(--price)}}
.darkparse rect.overlay{{fill:var(--overlay)}}
.darkparse .price_line{{fill:var(--price_line)}}
.darkparse .band{{fill:var(--band)}}
{"".join(f".darkparse .{tone}{{fill:var(--{tone})}}" for tone in _TICKS)}
.darkparse .plain{{fill:var(--card)}}
.darkparse .changed{{fill:var(--changed)}}
.darkparse .faint{{fill:var(--faint)}}
.darkparse .saves{{fill:var(--saves)}}
.darkparse .costs{{fill:var(--costs)}}
.darkparse .edge path{{fill:none;stroke:var(--line);stroke-width:1.4}}
.darkparse .edge .tip{{fill:var(--line);stroke:none}}
.darkparse .reused path{{stroke:var(--reused);stroke-width:1.8;stroke-dasharray:5 3}}
.darkparse .reused .tip,.darkparse .reused text,.darkparse text.reused{{fill:var(--reused)}}
.darkparse .small path{{stroke-width:1}}
.darkparse .small.reused path{{stroke-width:1.2;stroke-dasharray:3 2}}
.darkparse .part_head .frame{{stroke:var(--head_line)}}
.darkparse .to_head path{{stroke:var(--head_line)}}
.darkparse .to_head .tip{{fill:var(--head_line)}}
"""


def css_variables(theme: str) -> str:
    """Return the colors of a theme as CSS variables."""
    return "".join(f"--{role}:{color};" for role, color in THEMES[theme].items())


def style_sheet(theme: str | None = None) -> str:
    """Return the style sheet of an SVG.

    Args:
        theme: Theme whose colors replace the variables, for renderers that do not support variables.
    """
    return _STYLE if theme is None else re.sub(r"var\(--(\w+)\)", lambda match: THEMES[theme][match[1]], _STYLE)
