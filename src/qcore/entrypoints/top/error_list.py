"""Failed tasks by cause: by name and by what their errors have in common."""

import shlex
from collections.abc import Sequence
from typing import ClassVar, Final, cast

from rich.text import Text

from qcore.app.client.failure_groups import FailureGroup
from qcore.app.client.queries import Query
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order, for_queries, is_of_tasks
from qcore.entrypoints.top.snapshot import LOOK
from qcore.entrypoints.top.task_list import TaskList
from qcore.entrypoints.top.view import Page, View

COLUMNS: Final = (
    Column("TASKS", least=5, is_right=True),
    Column("LAST", least=5, is_right=True),
    Column("FIRST", rank=2, least=5, is_right=True),
    Column("NAME", rank=1, least=16, grows=True),
    Column("ERROR", least=42, grows=True),
    Column("FINGERPRINT", rank=3),
)


class ErrorList(View):
    """The failures, the largest group first."""

    name: ClassVar[str] = "errors"
    every: ClassVar[float] = 5.0

    def __init__(self, query: Query | None = None) -> None:
        super().__init__()
        self._query = self._given = query or Query()

    @property
    def query(self) -> Query:
        """Return the query that a filter has set."""
        return self._query

    def filter(self, query: Query) -> bool:
        """Show another query."""
        self._query = query
        self.restart()
        return True

    def unfilter(self) -> bool:
        """Show the query that it was opened for."""
        return self._query != self._given and self.filter(self._given)

    def title(self) -> str:
        """Return what it shows."""
        return f"errors {self._query}".rstrip()

    def command(self) -> str:
        """Return the command that shows the same."""
        return f"qcore errors {shlex.quote(str(self._query))}".removesuffix(" ''")

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return the groups of the latest failures."""
        report = await store.inspector.failures(self._query, look=LOOK)
        now = store.now()
        rows = [_row(each, now) for each in report.groups]
        more = "" if report.is_complete else " that were looked at; there are more"
        scope = f"{report.looked:,} failed tasks{more}"
        return Page(COLUMNS, rows, Text(scope), empty="no task has failed, of those that are kept")

    def opened(self, row: Row) -> View | None:
        """Return the tasks of a group."""
        return TaskList(_query(row))

    def copied(self, row: Row) -> str:
        """Return the query for the tasks of a group."""
        return str(_query(row))

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:
        """Return an order for the tasks of groups, those too that were not looked at."""
        if not is_of_tasks(verb):
            return None
        queries = [_query(row) & self._query for row in rows]
        groups = [cast("FailureGroup", row.about) for row in rows]
        return await for_queries(store, verb, queries, [f"{g.name} {g.message}" for g in groups])


def _query(row: Row) -> Query:
    return cast("FailureGroup", row.about).query


def _row(group: FailureGroup, now: Moment) -> Row:
    return Row(
        group.fingerprint,
        (
            cells.number(group.count, "red"),
            cells.ago(group.last, now),
            cells.ago(group.first, now),
            cells.plain(group.name, "bold"),
            cells.plain(group.message),
            Text(group.fingerprint, style="bright_black"),
        ),
        group,
    )
