"""Every example runs, every link leads somewhere, every name, extra and test named is there."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from docs.running import Story
from docs.site import api, links, navigation, sources
from docs.site.checking import faults
from qcore import ports

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


SHOWN_ONLY = {"sh", "text", "mermaid", "ini", "dockerfile", "toml", "yaml", "json", "sql", "go"}
"""Languages whose blocks are not run."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_code_runs_or_is_of_a_language_that_cannot(document: Path) -> None:
    """A block that the collector would pass over in silence, such as one opened as `py`, fails."""
    text = document.read_text(encoding="utf-8")
    fences = re.findall(r"^([ \t>*-]*)(`{3,}|~{3,})(.*)$", text, re.MULTILINE)
    openings = fences[::2]
    assert len(fences) == 2 * len(openings), "a block is not closed"
    run = [each for each in openings if each[2].partition(" ")[0] not in SHOWN_ONLY]
    assert [(indent, mark) for indent, mark, _ in run] == [("", "```")] * len(run)
    assert len(list(Story.read(document))) == len(run)


def test_a_story_leaves_no_module_of_its_folder_behind(tmp_path: Path) -> None:
    """A package that it writes without `__init__.py`, which has no file of its own, neither."""
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="a_story_s_package/module.py"\nNUMBER = 7\n```\n\n'
        "```python\nfrom a_story_s_package.module import NUMBER\n\nassert NUMBER == 7\n```\n"
    )
    modules, path = set(sys.modules), sys.path.copy()
    story = Story.read(page)
    story.open()
    for example in story:
        example.evaluate()
    assert "a_story_s_package" in sys.modules
    story.close()
    assert (set(sys.modules), sys.path) == (modules, path)


PORTS = sorted(name for name in ports.__all__ if getattr(getattr(ports, name), "_is_protocol", 0))


def members_of(port: str) -> set[str]:
    """Return the names of what a port has, its own and those of the ports it is made of."""
    return {name for name in dir(getattr(ports, port)) if not name.startswith("_")}


def table(page: str, *titles: str) -> dict[str, dict[str, list[str]]]:
    """Return the one table of a page with these titles: by the first cell, by title, the names."""
    lines = (PAGES / page).read_text(encoding="utf-8").splitlines()
    start = lines.index("| " + " | ".join(titles) + " |")
    rows: dict[str, dict[str, list[str]]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [re.findall(r"`([\w.]+)`", cell) for cell in line.strip("| ").split(" | ")]
        rows[cells[0][0]] = dict(zip(titles[1:], cells[1:], strict=False))
    return rows


BY_READER = table("ports.md", "port", "members", "who needs it")
OPTIONAL = table("ports.md", "port", "members", "declared by", "asked for by")
IMPLEMENTED = table("ports.md", "port", "what it is", "implementations")


@pytest.mark.parametrize("port", sorted({*BY_READER, *OPTIONAL} - {"Broker"}))
def test_the_members_of_a_broker_are_those_of_its_port(port: str) -> None:
    """The page lists each of them, and no other."""
    row = (BY_READER | OPTIONAL)[port]
    assert set(row["members"]) == members_of(port)


def test_a_broker_is_all_that_its_readers_need() -> None:
    """The parts of the table, and the three members that are its own, make the whole port."""
    parts = {name for port, row in BY_READER.items() for name in row["members"]}
    assert parts == members_of("Broker")


def test_every_verb_is_a_member_that_is_listed() -> None:
    """Each awaited call that can be wrapped, traced and made to fail is on the page."""
    rows = [*BY_READER.values(), *OPTIONAL.values()]
    listed = {name for row in rows for name in row["members"]}
    assert listed - set(get_args(ports.Verb)) == {
        "blocking",
        "capabilities",
        "diagnose",
        "take_ended",
        "time",
    }


@pytest.mark.parametrize("port", sorted(OPTIONAL))
def test_what_is_optional_is_asked_for_as_the_page_says(port: str) -> None:
    """By the function that is named there."""
    [ask] = OPTIONAL[port]["asked for by"]
    hints = get_type_hints(getattr(ports, ask))
    assert hints["return"] == getattr(ports, port) | None


@pytest.mark.parametrize("port", PORTS)
def test_every_port_has_implementations_that_have_its_members(port: str) -> None:
    """A port that stands by itself has a row; what its row names is public, and is such a one."""
    if port in {*BY_READER, "Subscription"} - {"Broker"}:
        return
    for path in IMPLEMENTED[port]["implementations"]:
        module, name = path.rsplit(".", 1)
        made = getattr(import_module(module), name)
        # what is set when it is made cannot be seen in the class
        missing = {member for member in members_of(port) if not hasattr(made, member)}
        assert missing <= {"time", "content_type"}, path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_names_a_private_path(document: Path) -> None:
    """What a reader is told to import is in a public module, which does not move."""
    text = document.read_text(encoding="utf-8")
    assert re.findall(r"qcore\.(?:adapters|app|domain|entrypoints)\b[\w.]*", text) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    """A link to a file of ours finds it, and its anchor is a heading there."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", _prose(document)):
        file = document.parent / target if target else document
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file), f"{target}#{anchor}"


EXTRAS = {
    "cli": r"^(?:\$ )?qcore ",
    "encryption": r"EncryptedSerializer\(",
    "top": r"^(?:\$ )?qcore top",
    "testing": r"qcore\.testing\.(?:fakes|contract|machine)|pytest",
}
"""An extra, and what on a page needs it."""


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda p: p.stem
)
def test_a_how_to_names_the_extras_that_it_needs(page: Path) -> None:
    """Who follows it knows what to install before the first command fails."""
    text = page.read_text(encoding="utf-8")
    needed = {extra for extra, what in EXTRAS.items() if re.search(what, text, re.MULTILINE)}
    named = set(re.findall(r"\bextras? `(\w+)`|(?<= and )`(\w+)`(?= \(`pip)", text))
    assert needed <= {each for pair in named for each in pair}


def test_every_module_that_the_glossary_names_is_there() -> None:
    """And each is named by its path below `src/qcore`."""
    text = (PAGES / "glossary.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)`", text)
    assert len(named) > 50
    assert [each for each in named if not (ROOT / "src" / "qcore" / each).is_file()] == []


def test_every_document_can_be_found_from_the_index() -> None:
    """The index names each page of the documentation."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "index.md" or f"({name})" in index, name


def test_every_page_has_one_place_in_the_sidebar_of_the_site() -> None:
    """Below the heading of the index that links to it: nothing is lost, nothing is there twice."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = [page for section in navigation.sections(index) for page in section.pages]
    assert len(listed) == len(set(listed))
    pages = {links.page_of(page) for page in (ROOT / "docs").rglob("*.md")}
    assert pages - set(listed) == {"index"}


def test_the_page_of_the_api_lists_the_public_modules() -> None:
    """Each with the first sentence of its docstring, from which the site makes a page of it."""
    package = ROOT / "src" / "qcore"
    modules = {f"qcore.{each.stem}" for each in package.glob("*.py") if each.stem[0] != "_"}
    assert modules | {"qcore", "qcore.ports", "qcore.testing"} <= set(api.MODULES)
    said = dict(
        re.findall(r"\[`(qcore[\w.]+)`\]\(\S+\) \| (.*) \|", api.INDEX.read_text(encoding="utf-8"))
    )
    for module, holds in said.items():
        doc = import_module(module).__doc__ or ""
        assert holds == " ".join(doc.partition("\n\n")[0].split()), module


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("docs/how-to/monitor.md", "how-to/monitor"),
        ("src/qcore/ports/", "api/qcore.ports"),
        ("src/qcore/ports/__init__.py", "api/qcore.ports"),
        ("src/qcore/errors.py", "api/qcore.errors"),
        ("src/qcore/domain/effects.py", "files/src/qcore/domain/effects.py"),
        ("examples/bank/README.md", "files/examples/bank/README"),
        ("deploy", "files/deploy"),
    ],
)
def test_a_link_out_of_the_documents_has_a_page_on_the_site(link: str, page: str) -> None:
    """A public module that of the API, any other file or folder one that shows it."""
    assert links.page_of(ROOT / link) == page


def test_no_page_of_the_site_links_to_what_is_no_page() -> None:
    """Neither in our documents nor in those that the site takes from elsewhere."""
    pages = dict(sources.pages())
    for name, text in pages.items():
        for link, _ in links.links_of(text):
            target = Path(os.path.normpath(links.DOCS / Path(name).parent / link))
            page = target.relative_to(links.DOCS).as_posix()
            assert page.removesuffix(".md") in pages or target.is_file(), f"{name}: {link}"


def test_a_dead_link_a_lost_page_and_what_another_host_serves_fail_the_site(tmp_path: Path) -> None:
    """Each is said with its page; what is whole is not."""
    (tmp_path / "index.html").write_text('<a href="a.html#x">a</a><a href="b.html">b</a>')
    (tmp_path / "a.html").write_text('<p id="x"><a href="index.html">i</a><a href="#y">y</a>')
    (tmp_path / "lost.html").write_text('<script src="https://example.com/x.js"></script>')
    assert [each.replace(f"{tmp_path.resolve()}/", "") for each in faults(tmp_path)] == [
        "a.html: #y leads nowhere",
        "index.html: b.html leads nowhere",
        "lost.html: https://example.com/x.js is of another host",
        "lost.html: no link leads there from the first page",
    ]


def test_every_test_that_a_page_names_is_there() -> None:
    """What is said to hold elsewhere is held by a test of that very name."""
    page = (ROOT / "docs" / "explanation" / "where-others-break.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    cases = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src/qcore/testing/contract").glob("*.py")]
    defined = {
        name
        for case in cases
        for name in re.findall(r"def (test_\w+)\(", case.read_text(encoding="utf-8"))
    }
    assert len(named) > 40
    assert sorted(named - defined) == []


def _prose(document: Path) -> str:
    """Return a document without its code."""
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}
