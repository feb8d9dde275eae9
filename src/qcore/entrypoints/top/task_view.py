"""One task: its arguments, options, progress, errors and why it waits, as `qcore task show`."""

import shlex
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from rich.text import Text

from qcore.domain.new_task import TaskId
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.story import Story, story_of, story_pairs
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order, for_tasks, is_of_tasks
from qcore.entrypoints.top.view import Page, View

COLUMNS: Final = (Column("", least=14), Column("", least=10, grows=True))
PROGRESS: Final = 24
"""Characters of the bar of a run's progress."""


class TaskView(View):
    """All that is stored of one task."""

    name: ClassVar[str] = "task"

    def __init__(self, queue: str, task: TaskId, name: str) -> None:
        super().__init__()
        self._queue = queue
        self._id = task
        self._name = name

    def title(self) -> str:
        """Return which task it is."""
        return f"{self._name} {self._id}"

    def command(self) -> str:
        """Return the command that shows the same."""
        return f"qcore task show {shlex.quote(self._id)} --queue {shlex.quote(self._queue)}"

    def copied(self, row: Row) -> str:
        """Return what stands in a line; of its name and id the id."""
        return row.cells[1].plain or self._id

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return its story, in lines that fit."""
        task = await store.inspector.get(self._queue, self._id)
        if task is None:
            return Page(COLUMNS, (), empty="it is no longer stored: it has ended, or was deleted")
        story = await story_of(store, task)
        room = max(20, width - COLUMNS[0].least - 6)
        lines = [line for name, text in _parts(story) for line in _wrapped(name, text, room)]
        rows = [Row(str(number), line) for number, line in enumerate(lines)]
        summary = Text.assemble(cells.state(task.state), " in ", cells.plain(task.queue))
        return Page(COLUMNS, rows, summary)

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:  # noqa: ARG002
        """Return an order for it."""
        return for_tasks(verb, [(self._queue, self._id)]) if is_of_tasks(verb) else None


def _parts(story: Story) -> Iterator[tuple[str, Text]]:
    for name, text in story_pairs(story):
        if name == "progress" and (progress := story.details.progress) is not None:
            filled = round(progress.fraction * PROGRESS)
            bar = "█" * filled + "░" * (PROGRESS - filled)
            yield name, Text.assemble((bar, "green"), f" {text}")
        elif text:
            yield name, Text.from_ansi(text)
    for line in (story.traceback or "").splitlines():
        yield "", cells.plain(line)


def _wrapped(name: str, text: Text, width: int) -> Iterator[tuple[Text, Text]]:
    """Yield lines of a text that may be longer than one, cut at blanks where there are any."""
    start, end = 0, len(text)
    while True:
        line = text.plain[start : start + width + 1]
        cut = line.rfind(" ") if len(line) > width else -1
        size = width if cut <= width // 2 else cut + 1
        yield Text("" if start else name, style="bright_black"), text[start : start + size]
        start += size
        if start >= end:
            return
