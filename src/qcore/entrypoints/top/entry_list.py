"""The entries of periodic tasks, page by page."""

from collections.abc import Sequence
from typing import ClassVar, Final, cast

from rich.text import Text

from qcore.app.client.entry_listing import EntryStatus, ListedEntry
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order, for_each
from qcore.entrypoints.top.task_view import TaskView
from qcore.entrypoints.top.view import Page, View

COLUMNS: Final = (
    Column("NAME", least=12, grows=True),
    Column("QUEUE", rank=2, least=7, grows=True),
    Column("STATUS", least=7),
    Column("NEXT", least=8, is_right=True),
    Column("LAST", rank=3, least=5, is_right=True),
    Column("RUNS", rank=4, least=5, is_right=True),
    Column("SCHEDULE", rank=1, least=16, grows=True),
)
STYLES: Final = {
    EntryStatus.ACTIVE: "green",
    EntryStatus.WAITING: "yellow",
    EntryStatus.PAUSED: "yellow",
    EntryStatus.ENDED: "bright_black",
    EntryStatus.STALE: "red",
    EntryStatus.UNREADABLE: "red",
}
NOTHING: Final = "no periodic tasks: @q.periodic(…) declares one, and a worker stores it"


class EntryList(View):
    """Periodic tasks, by queue and name."""

    name: ClassVar[str] = "periodic"

    def title(self) -> str:
        """Return what it shows."""
        return "periodic tasks"

    def command(self) -> str:
        """Return the command that shows the same."""
        return "qcore periodic"

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return a page of entries."""
        found = await store.entries.page(limit=height, cursor=self.cursor)
        now = store.now()
        rows = [_row(each, now) for each in found.entries]
        told = Text(f"page {self.page_number}")
        return Page(COLUMNS, rows, told, empty=NOTHING, cursor=found.cursor)

    def opened(self, row: Row) -> View | None:
        """Return the last task that a tick has made."""
        entry = cast("ListedEntry", row.about)
        made = [each.tick.task for each in entry.history if each.tick.task is not None]
        name = entry.entry.task.name if entry.entry is not None else entry.name
        return TaskView(entry.queue, made[0], name) if made else None

    def copied(self, row: Row) -> str:
        """Return the name of an entry."""
        return cast("ListedEntry", row.about).name

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:  # noqa: ARG002
        """Return the order to pause, resume or run entries."""
        found = [cast("ListedEntry", row.about) for row in rows]
        if verb not in {"pause", "resume", "run"}:
            return None

        async def change(store: Store, number: int) -> str:
            entry = found[number]
            if verb == "run":
                handle = await store.entries.run_now(entry.name, queue=entry.queue)
                return "it is gone" if handle is None else f"made {handle.id}"
            do = store.entries.pause if verb == "pause" else store.entries.resume
            changed = await do(entry.name, queue=entry.queue)
            return "it is gone" if changed is None else str(changed.status)

        many = f"{len(found):,} periodic tasks"
        what = "periodic task" if len(found) == 1 else many
        return for_each(verb, what, [each.name for each in found], change)


def _row(entry: ListedEntry, now: Moment) -> Row:
    last = entry.history[0].tick.at if entry.history else None
    return Row(
        f"{entry.queue}\t{entry.name}",
        (
            cells.plain(entry.name, "bold"),
            cells.plain(entry.queue),
            Text(entry.status, style=STYLES[entry.status]),
            cells.ago(entry.next, now),
            cells.ago(last, now),
            cells.number(entry.runs),
            cells.plain(entry.why, "red") if entry.why else cells.plain(entry.schedule),
        ),
        entry,
    )
