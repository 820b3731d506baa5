"""How Sphinx builds the documentation, with `make docs`; nothing is fetched."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "openretina optimize"
author = "The openretina optimize developers"
copyright = "MIT licence"  # the name that Sphinx wants
version = release = installed("openretina-cli")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "reference",
    "notebooks",
    "accessible",
]
exclude_patterns = ["_ext"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3  # as GitHub makes them, so that links to headings work in both places
nb_execution_mode = "auto"  # a notebook without outputs is run, with the bundled model
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds of a cell

default_role = "code"  # docstrings mark code with single backticks
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "openretina optimize"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_exclude = ".linenos, .gp, .go"
