"""Sphinx: pages are Markdown (myst), the reference comes from the docstrings, every warning is an error.

python -m sphinx -W --keep-going -n -b html docs docs/_build
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from neuralbox import __version__

gc.disable()  # a build ends soon, and a third of its time went to searches for garbage
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "neuralbox"
author = "neuralbox contributors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "site_docstrings",
    "site_numbers",
    "site_tabs",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"neuralbox {version}"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_show_copyright = False

add_module_names = False
default_role = "literal"  # docstrings write names as Markdown does
autodoc_default_options = {"exclude-members": "model_config, model_post_init"}  # pydantic's own
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False  # there are none
autodoc_preserve_defaults = True  # `time.time`, and not a repr that no signature could hold
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Cancellation", "Ctrl-C", "Source"]
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
nitpicky = True
nitpick_ignore_regex = [
    # Names of others: nothing is fetched to build the site.
    ("py:.*", r"(anyio|collections|datetime|httpx|mcp|opentelemetry|os|pathlib|respx|starlette)(\..*)?"),
    # Names that are not public have no page.
    ("py:.*", r"(\w+\.)*_\w+(\.\w+)*"),
]
