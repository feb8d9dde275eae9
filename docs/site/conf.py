"""The settings of Sphinx."""

import re
from importlib.metadata import version as version_of
from typing import Any

from sphinx.application import Sphinx

from docs.site.docstrings import data_docstring

project = "qcore"
author = "The qcore authors"
project_copyright = author
version = release = version_of("qcore-queue")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
default_role = "code"  # docstrings have names in single backticks
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries = False  # thousands, copied for each page; pages of the API list their names

html_theme = "furo"
html_title = f"qcore {version}"
html_show_sphinx = False
html_copy_source = False


def _as_restructured_text(*said: Any) -> None:
    """Give data their own docstrings, and let what Markdown allows stand beside what is marked."""
    _, what, path, value, _, lines = said
    if what == "data":
        lines[:] = data_docstring(path, value)
    # `Task`s, and qcore_
    lines[:] = [re.sub(r"(?<!`)(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]
    lines[:] = [re.sub(r"(?<=\w)_(?=[\s.,;])", r"\\_", line) for line in lines]


def _without_what_protocols_take(*said: Any) -> tuple[str, None] | None:
    """Show no arguments of a protocol: nobody makes one."""
    _, what, _, value, *_ = said
    return ("", None) if what == "class" and getattr(value, "_is_protocol", False) else None


def setup(app: Sphinx) -> None:
    """Have docstrings and signatures read as they are meant."""
    app.connect("autodoc-process-docstring", _as_restructured_text)
    app.connect("autodoc-process-signature", _without_what_protocols_take)
