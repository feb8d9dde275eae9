"""What the pages of docs/migrate say becomes of something is there."""

import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest

import qcore
from qcore import Context, Handle, Qcore, backoff, testing

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "migrate").glob("*.md"))
CLI = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
COMMANDS = set(re.findall(r"^## `qcore ([a-z]+)", CLI, re.MULTILINE))
FLAGS = set(re.findall(r"--[a-z-]+", CLI))
OPTIONS = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "reference" / "options.md").read_text())) | {
    "defaults",
    "errors",
    "clock",
    "lifespans",
    "provided",
    "serializer",
    "tz",
    "name",
    "cap",
}


def ours(page: Path) -> Iterator[str]:
    """Yield what stands in the last column of the tables of a page, as code."""
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\) \| ", line.strip().strip("|"))
        if line.startswith("| ") and len(cells) == 2:
            yield from re.findall(r"`([^`]+)`", cells[1])


def has(thing: object, path: str) -> bool:
    """Return whether a thing has what a dotted path leads to."""
    try:
        reduce(getattr, path.split("."), thing)
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_of_ours_in_a_table_is_there(page: Path) -> None:
    """Methods of the queue, the context and a handle; options of tasks; commands, their flags."""
    q = Qcore("memory://")
    codes = list(ours(page))
    assert page.stem == "step-by-step" or len(codes) > 50
    missing = [
        code
        for code in codes
        if not all(has(q, path) for path in re.findall(r"\bq\.([\w.]+)", code))
        or not all(has(Context, name) for name in re.findall(r"\bctx\.(\w+)", code))
        or not all(has(Handle, name) for name in re.findall(r"\bhandle\.(\w+)", code))
        or not set(re.findall(r"\bqcore ([a-z]+)", code)) <= COMMANDS
        or not set(re.findall(r"--[a-z-]+", code)) <= FLAGS
        or not set(re.findall(r"^([a-z_]+)=", code)) <= OPTIONS
        or not all(
            any(hasattr(module, name) for module in (qcore, backoff, testing))
            for name in re.findall(r"raise (\w+)|(?:^|retry=)(fixed|linear|exponential)\(", code)
            for name in filter(None, name)
        )
    ]
    assert missing == []
