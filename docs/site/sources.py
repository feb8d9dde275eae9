"""What Sphinx reads: our documents with the links of the site, and the pages made for it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docs.site import api
from docs.site.drawings import drawn
from docs.site.links import DOCS, ROOT, localised, outside, page_of
from docs.site.navigation import Section, sections, tree

API: Final = DOCS / "reference" / "api.md"
"""The document below which the public modules are in the sidebar."""

PICTURES: Final = (".svg", ".png")
LANGUAGES: Final = {
    "": "dockerfile",
    ".ini": "ini",
    ".py": "python",
    ".service": "ini",
    ".toml": "toml",
    ".yaml": "yaml",
}


def write_sources(folder: Path) -> None:
    """Write every page of the site, and every picture, into a folder."""
    for picture in (each for each in DOCS.rglob("*") if each.suffix in PICTURES):
        shutil.copyfile(picture, _room_for(folder / picture.relative_to(DOCS)))
    for name, text in pages():
        _room_for(folder / f"{name}.md").write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Yield each page: its name, and its text as MyST.

    First our documents and the public modules, then what they link to, and what that links to.
    """
    waiting = [(each, each.read_text(encoding="utf-8")) for each in sorted(DOCS.rglob("*.md"))]
    yield from ((f"api/{module}", api.page(module)) for module in api.MODULES)
    seen = {path for path, _ in waiting}
    for path, text in waiting:  # it grows meanwhile
        found = set(outside(path, text)) - seen
        seen |= found
        waiting += [(each, _shown(each)) for each in sorted(found)]
        yield page_of(path), drawn(localised(path, text)) + _branches(path, text)


def _branches(document: Path, text: str) -> str:
    """Return the branches of the sidebar that grow from a document."""
    if document == DOCS / "index.md":
        return "".join(map(tree, sections(text)))
    if document == API:
        return tree(Section("", tuple(f"api/{module}" for module in api.MODULES)))
    return ""


def _shown(path: Path) -> str:
    """Return the page of a file or a folder that is not below docs/."""
    orphan = "---\norphan: true\n---\n\n"
    if path.suffix == ".md":
        return orphan + path.read_text(encoding="utf-8")
    heading = f"{orphan}# `{path.relative_to(ROOT).as_posix()}`\n\n"
    if path.is_dir():
        return heading + "".join(
            f"- [`{each.name}`]({path.name}/{each.name})\n"
            for each in sorted(path.iterdir())
            if not each.name.startswith(("__pycache__", "."))
        )
    language = LANGUAGES.get(path.suffix, "text")
    return f"{heading}```{language}\n{path.read_text(encoding='utf-8')}```\n"


def _room_for(path: Path) -> Path:
    """Return a path whose folder is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
