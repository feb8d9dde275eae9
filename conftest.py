"""The examples in README.md and docs/ are tests: see docs/running.py for how they run.

The collector is our own: Sybil's breaks the whole session where an example fails outside of itself,
as with a coroutine that was never awaited, and it does not know that a story has an order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sybil import Example
from sybil.example import SybilFailure

from docs.running import Story


class Page(pytest.File):
    """A document."""

    def collect(self) -> Iterator["Block"]:
        """Yield its blocks."""
        self.story = Story.read(self.path)
        for example in self.story:
            yield Block.from_parent(self, name=f"line {example.line}", example=example)

    def setup(self) -> None:
        """Prepare for the first block."""
        self.story.open()

    def teardown(self) -> None:
        """Clear up after the last."""
        self.story.close()


class Block(pytest.Item):
    """One example of a document."""

    def __init__(self, *, example: Example, **known_to_pytest: Any) -> None:
        super().__init__(**known_to_pytest)
        self.example = example

    def runtest(self) -> None:
        """Run it."""
        self.example.evaluate()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show where in the document it failed, and not how we came there."""
        if isinstance(excinfo.value, SybilFailure):
            return excinfo.value.result
        excinfo.traceback = excinfo.traceback.cut(path=self.path)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where it is."""
        return self.path, self.example.line - 1, f"{self.path.name}, {self.name}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Page | None:
    """Collect Markdown."""
    return Page.from_parent(parent, path=file_path) if file_path.suffix == ".md" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the blocks of a page together and in order, however tests are shuffled."""
    places = {item.path: place for place, item in reversed(list(enumerate(items)))}

    def key(numbered: tuple[int, pytest.Item]) -> tuple[int, int]:
        place, item = numbered
        return (places[item.path], item.example.line) if isinstance(item, Block) else (place, 0)

    items[:] = [item for _, item in sorted(enumerate(items), key=key)]
