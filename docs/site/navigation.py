"""The sidebar of the site, which docs/index.md states: its headings, and the links below them."""

import re
from collections.abc import Iterator

import attrs

from docs.site.links import DOCS, page_of


@attrs.frozen
class Section:
    """A part of the sidebar: its caption, and the pages in it by their names on the site."""

    caption: str
    pages: tuple[str, ...]


def sections(index: str) -> Iterator[Section]:
    """Yield the sections of an index: one for each heading that has links below it.

    A heading of the third level is captioned with that of the second level above it.
    """
    above = ""
    for mark, title, body in re.findall(
        r"^(###?) (.*)\n((?:(?!##).*\n?)*)", index, flags=re.MULTILINE
    ):
        above = title if mark == "##" else above
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", body)
        if links:
            caption = title if mark == "##" else f"{above}: {title}"
            yield Section(caption, tuple(page_of(DOCS / link) for link in links))


def tree(section: Section) -> str:
    """Return what makes a branch of the sidebar in MyST, and shows nothing in the page itself."""
    caption = [f":caption: {section.caption}"] if section.caption else []
    pages = [f"/{page}" for page in section.pages]
    return "\n".join(["", "```{toctree}", ":hidden:", *caption, "", *pages, "```", ""])
