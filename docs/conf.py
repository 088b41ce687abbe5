"""Sphinx configuration: sphinx-build -W docs dist/site."""

from __future__ import annotations

import sys
from pathlib import Path

from darkparse import __version__

sys.path.insert(0, str(Path(__file__).parent))

import reference

project = "darkparse"
author = "The darkparse authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["pictures/*.md"]
# Docstrings mark code with single backticks.
default_role = "code"
# Option names start with two hyphens.
smartquotes = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": False}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"darkparse {release}"
html_copy_source = False

# Only the generated pages depend on the source, so that they cannot be out of date.
reference.write(Path(__file__).parent / "reference")
