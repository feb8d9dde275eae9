"""Diagrams, which a repository draws from their text, and the site shows as pictures.

`python -m docs.diagrams` draws them: to draw them in the browser takes three megabytes of scripts.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from docs.site.links import DOCS

THEMES: Final = ("light", "dark")
_FENCED: Final = re.compile(r"^```mermaid\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def diagrams() -> Iterator[str]:
    """Yield the text of each diagram of our documents."""
    for page in sorted(DOCS.rglob("*.md")):
        yield from _FENCED.findall(page.read_text(encoding="utf-8"))


def name_of(diagram: str, theme: str) -> str:
    """Return the name of a picture in docs/images: another text is another picture."""
    return f"diagram-{sha256(diagram.encode()).hexdigest()[:8]}-{theme}.svg"


def drawn(text: str) -> str:
    """Return a document with pictures in place of its diagrams, of which one theme's is seen."""
    return _FENCED.sub(_pictures, text)


def _pictures(found: re.Match[str]) -> str:
    return "".join(
        f"```{{image}} /images/{name_of(found[1], theme)}\n:class: only-{theme}\n"
        ":alt: A diagram of what the table on this page has\n```\n\n"
        for theme in THEMES
    )
