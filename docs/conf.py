"""Sphinx configuration: sphinx-build -W docs dist/site."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from darkparse import __version__

sys.path.insert(0, str(Path(__file__).parent))

import reference

project = "darkparse"
author = "The darkparse authors"
project_copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["pictures/*.md"]
# Docstrings mark code with single backticks.
default_role = "code"
# Option names start with two hyphens.
smartquotes = False
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3
# Tutorials that are notebooks run at each build, in a temporary directory; an error in a cell fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Longer signatures have one parameter per line.
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": False}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"darkparse {release}"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# Only the generated pages depend on the source, so that they cannot be out of date.
reference.write(Path(__file__).parent / "reference")
