"""What holds of the built site: no dead link, no page that is lost, nothing from other hosts."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "link": "href", "script": "src", "iframe": "src"}
"""What a browser fetches by itself: an element, and the attribute that says from where."""
GENERATED = {"404.html", "genindex.html", "py-modindex.html", "search.html"}


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is called, and where it leads."""
        has = dict(attrs)
        self.anchors |= {has.get("id") or ""}
        if tag == "a" and has.get("href"):
            self.links.append(str(has["href"]))
        if tag in LOADED and has.get(LOADED[tag]):
            self.loaded.append(str(has[LOADED[tag]]))

    def file_of(self, link: str) -> Path:
        """Return the file that a link on this page leads to."""
        path = unquote(urlsplit(link).path)
        return (self.path.parent / path).resolve() if path else self.path


def faults(built: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a line each."""
    pages = {path: Page(path) for path in sorted(built.resolve().rglob("*.html"))}
    for page in pages.values():
        for link in [*page.links, *page.loaded]:
            if not urlsplit(link).netloc and _is_dead(page, link, pages):
                yield f"{page.path}: {link} leads nowhere"
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{page.path}: {link} is of another host"
    for path in sorted(pages.keys() - _reached(built.resolve() / "index.html", pages)):
        if path.name not in GENERATED:
            yield f"{path}: no link leads there from the first page"


def _is_dead(page: Page, link: str, pages: dict[Path, Page]) -> bool:
    parts, file = urlsplit(link), page.file_of(link)
    if parts.scheme in {"data", "mailto"}:
        return False
    anchors = pages[file].anchors | {""} if file in pages else {parts.fragment}
    return not file.exists() or unquote(parts.fragment) not in anchors


def _reached(first: Path, pages: dict[Path, Page]) -> set[Path]:
    """Return the pages that can be reached by links."""
    reached, waiting = {first}, [first]
    while waiting:
        page = pages[waiting.pop()]
        links = [link for link in page.links if not urlsplit(link).netloc]
        found = {page.file_of(link) for link in links} & pages.keys() - reached
        reached |= found
        waiting += found
    return reached
