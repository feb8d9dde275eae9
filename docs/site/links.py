"""Where a link of a document leads on the site.

Links to other parts of the repository lead to a page that shows the file or lists the folder, so
that they work on the site, which knows no address of the repository, as they do in a browser of
the repository. A public module has its page in the reference of the API.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.site.api import MODULES

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

_FENCED: Final = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def page_of(target: Path) -> str:
    """Return the name on the site of the page of a document, a module, another file or a folder."""
    target = Path(os.path.normpath(target))
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).with_suffix("").as_posix()
    path = target.relative_to(ROOT)
    module = ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")
    in_api = path.parts[0] == "src" and module in MODULES
    return f"api/{module}" if in_api else f"files/{path.as_posix().removesuffix('.md')}"


def links_of(text: str) -> list[tuple[str, str]]:
    """Return the links within a repository that a document has, each with its anchor or ""."""
    return [link for prose in _FENCED.split(text)[::2] for link in _LINK.findall(prose)]


def outside(document: Path, text: str) -> Iterator[Path]:
    """Yield the files and folders that a document links to and that have a page for themselves."""
    for link, _ in links_of(text):
        target = Path(os.path.normpath(document.parent / link))
        if page_of(target).startswith("files/"):
            yield target


def localised(document: Path, text: str) -> str:
    """Return the text of a document with the links that it has on the site."""

    def local(found: re.Match[str]) -> str:
        link, anchor = found.groups(default="")
        target = Path(os.path.normpath(document.parent / link))
        if target.is_relative_to(DOCS) and target.suffix != ".md":
            return found.group()  # a picture
        there = os.path.relpath(page_of(target), Path(page_of(document)).parent)
        return f"]({there}.md{anchor})"

    parts = _FENCED.split(text)
    parts[::2] = [_LINK.sub(local, prose) for prose in parts[::2]]
    return "".join(parts)
