"""The tasks of a query, with a tab for each state."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final, cast

from rich.text import Text

from qcore.app.client.queries import Query
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order, for_queries, for_tasks, is_of_tasks
from qcore.entrypoints.top.task_view import TaskView
from qcore.entrypoints.top.view import Page, View
from qcore.ports import Counts

LOOK: Final = 1_000
"""Tasks that are looked at for a page, at most."""
COLUMNS: Final = (
    Column("ID", least=10, grows=True),
    Column("NAME", least=10, grows=True),
    Column("QUEUE", rank=3, least=7, grows=True),
    Column("STATE", rank=1, least=9),
    Column("AGE", rank=2, least=5, is_right=True),
    Column("DUE", rank=4, least=8, is_right=True),
    Column("RUNS", rank=5, least=4, is_right=True),
    Column("PRIO", rank=6, least=4, is_right=True),
    Column("ERROR", rank=1, least=12, grows=True),
)


class TaskList(View):
    """Tasks, page by page."""

    name: ClassVar[str] = "tasks"

    def __init__(self, query: Query | None = None, tab: State | None = None) -> None:
        super().__init__()
        self._query = self._given = query or Query()
        self._tab = tab
        self._tabs: Sequence[State | None] = [None]
        """Those that are shown: of states that have tasks."""

    @property
    def query(self) -> Query:
        """Return the query that a filter has set."""
        return self._query

    def filter(self, query: Query) -> bool:
        """Show another query."""
        self._query = query
        self._tab = None
        self.restart()
        return True

    def unfilter(self) -> bool:
        """Show the query that it was opened for."""
        return self._query != self._given and self.filter(self._given)

    def title(self) -> str:
        """Return the query."""
        return str(self.shown_query) or "all tasks"

    def command(self) -> str:
        """Return the command that shows the same."""
        return f"qcore tasks list {shlex.quote(str(self.shown_query))}".removesuffix(" ''")

    @property
    def shown_query(self) -> Query:
        """Return the query with the state of the tab."""
        return self._query if self._tab is None else self._query & Query.where(state=self._tab)

    @property
    def can_tick_all(self) -> bool:
        """Return whether orders can be given for all that the list has: they are."""
        return True

    def turned(self, by: int) -> bool:
        """Turn to the tab of another state, of those that the query lets."""
        at = self._tabs.index(self._tab) if self._tab in self._tabs else 0
        self._tab = self._tabs[(at + by) % len(self._tabs)]
        self.restart()
        return True

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return a page of tasks."""
        counts = await store.inspector.counts()
        page = await store.inspector.tasks(
            self.shown_query, limit=height, look=LOOK, cursor=self.cursor
        )
        now = store.now()
        is_one_queue = len(self._query.named_queues() or ()) == 1
        columns = [each for each in COLUMNS if not (is_one_queue and each.title == "QUEUE")]
        rows = [self._row(task, now, is_one_queue=is_one_queue) for task in page.tasks]
        more = "" if page.cursor is None else "; PgDn: more"
        return Page(
            columns,
            rows,
            self._drawn_tabs(counts),
            Text(f"page {self.page_number}{more}", style="bright_black"),
            empty=self._empty(page.cursor),
            cursor=page.cursor,
        )

    def _empty(self, cursor: str | None) -> str:
        if cursor is not None:
            return f"none among {LOOK:,} tasks: PgDn looks at the next ones"
        return (
            f"no task is {self.title()}" if self.title() != "all tasks" else "no tasks are stored"
        )

    def _drawn_tabs(self, counts: Counts) -> Text:
        """Return the tabs of states that have tasks, with how many; a filter is not counted."""
        sizes = Counter[State | None]()
        for queue, held in counts.items():
            if self._query.has_queue(queue):
                sizes.update({state: n for state, n in held.items() if state in self._states()})
        sizes[None] = sizes.total()
        states = [state for state in self._states() if sizes[state] or state is self._tab]
        self._tabs = [None, *states]
        return Text("  ").join(self._tab_text(tab, sizes[tab]) for tab in self._tabs)

    def _tab_text(self, tab: State | None, size: int) -> Text:
        number = "" if self._query.needs_tasks else f" {cells.compact(size)}"
        style = "reverse" if tab is self._tab else cells.STYLES[tab] if tab else ""
        return Text(f" {tab or 'all'}{number} ", style=style)

    def _states(self) -> Sequence[State]:
        return self._query.states()

    def _row(self, task: Task, now: Moment, *, is_one_queue: bool) -> Row:
        queue = () if is_one_queue else (cells.plain(task.queue),)
        waits = task.state in {State.SCHEDULED, State.RETRY}
        row = (
            cells.plain(task.id),
            cells.plain(task.name, "bold"),
            *queue,
            cells.state(task.state),
            cells.ago(task.created, now),
            cells.ago(task.due, now) if waits else cells.NONE,
            cells.number(task.attempts),
            cells.number(task.spec.priority),
            cells.plain((task.error or "").strip(), "red" if task.state is State.DEAD else ""),
        )
        return Row(f"{task.queue}\t{task.id}", row, task)

    def opened(self, row: Row) -> View | None:
        """Return one task."""
        task = cast("Task", row.about)
        return TaskView(task.queue, task.id, task.name)

    def copied(self, row: Row) -> str:
        """Return the task's id."""
        return cast("Task", row.about).id

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:
        """Return an order for tasks that are ticked, or for all of the query."""
        if not is_of_tasks(verb):
            return None
        if self.is_all_ticked:
            return await for_queries(store, verb, [self.shown_query], [self.title()])
        return for_tasks(verb, [(task.queue, task.id) for task in _tasks(rows)])


def _tasks(rows: Sequence[Row]) -> Sequence[Task]:
    return [cast("Task", row.about) for row in rows]
