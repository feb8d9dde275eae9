"""What the demo shows: a live table on a terminal, and plain lines anywhere else."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from examples.signup.stage.figures import Counts, Latency, Snapshot
from qcore import State

STATES: Final = (
    State.SCHEDULED,
    State.PENDING,
    State.ACTIVE,
    State.RETRY,
    State.COMPLETED,
    State.ARCHIVED,
    State.DEAD,
)
COLOURS: Final = {
    State.ACTIVE: "cyan",
    State.RETRY: "yellow",
    State.COMPLETED: "green",
    State.DEAD: "red",
    State.ARCHIVED: "red",
}
SECONDS_BETWEEN_LINES: Final = 1.0


class Screen(Protocol):
    """Somewhere to show how it goes."""

    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show where things are now."""
        ...


class LiveScreen:
    """A table that changes in place, with what was said above it."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._console.print(text, highlight=False)

    def show(self, snapshot: Snapshot) -> None:
        """Show where things are now."""
        self._live.update(
            Group(
                "",
                _progress(snapshot),
                counts_table(snapshot.counts),
                Text(_mail(snapshot)),
                Text(" · ".join(snapshot.workers)),
            ),
            refresh=True,
        )


class PlainScreen:
    """A line now and then, for a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0

    def say(self, text: str) -> None:
        """Show a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Show where things are, if the last time was a while ago."""
        if snapshot.seconds < self._next:
            return
        self._next = snapshot.seconds + SECONDS_BETWEEN_LINES
        self.say(
            f"{snapshot.seconds:5.1f} s  {snapshot.ended} of {snapshot.expected} tasks ended; "
            f"{_mail(snapshot)}; {', '.join(snapshot.workers)}"
        )


@contextmanager
def screen(console: Console) -> Generator[Screen, None, None]:
    """Yield a screen that suits the console."""
    if not console.is_terminal:
        yield PlainScreen(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveScreen(console, live)


def counts_table(counts: Counts) -> Table:
    """Return a table of queues and states."""
    table = Table("queue", box=None, padding=(0, 2, 0, 0))
    for state in STATES:
        table.add_column(state.value, justify="right", style=COLOURS.get(state, ""))
    for queue in ("critical", "default", "low"):
        row = counts.get(queue, {})
        table.add_row(queue, *(str(row.get(state) or "·") for state in STATES))
    return table


def latency_table(latencies: Sequence[Latency]) -> Table:
    """Return a table of latencies."""
    table = Table("enqueued until delivered", box=None, padding=(0, 2, 0, 0))
    for heading in ("count", "p50", "p95", "longest"):
        table.add_column(heading, justify="right")
    for row in latencies:
        seconds = [f"{value:.2f} s" for value in (row.p50, row.p95, row.longest)]
        table.add_row(row.name, str(row.count), *seconds)
    return table


def _progress(snapshot: Snapshot) -> RenderableType:
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(snapshot.expected, snapshot.ended, width=40),
        f"{snapshot.ended} of {snapshot.expected} tasks ended in {snapshot.seconds:.1f} s",
    )
    return bar


def _mail(snapshot: Snapshot) -> str:
    return (
        f"mail: {snapshot.delivered} delivered, {snapshot.deferred} put off (451), "
        f"{snapshot.refused} refused (550)"
    )
