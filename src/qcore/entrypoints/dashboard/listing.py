"""Tasks as rows of a list: what is shown of each, masked."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field

from qcore.app.client.queries import STATES, Query
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.visit import Visit
from qcore.ports import Counts

ROWS = 50
MOST_ROWS = 500


@record
class Row:
    """A task in a list."""

    task: Task
    data: Any = field(hash=False)
    """Its arguments, masked; None where they cannot be read."""
    at: Moment
    """When it ended, or is or was due."""


@record
class TaskList:
    """A page of tasks, and how it is asked for."""

    rows: Sequence[Row]
    looked: int
    cursor: str | None
    is_first: bool
    counts: Counts | None = field(eq=False, repr=False)
    """As the page of an inspector has them."""


def row_of(board: Board, task: Task) -> Row:
    """Return a task as a row, without what is not to be seen."""
    ended = task.finished if task.state in ENDED else None
    data = board.mask.masked(task, board.read_payload).data
    return Row(task, data, task.due if ended is None else ended)


async def list_tasks(visit: Visit, query: Query) -> TaskList:
    """Return the page of a query that a request asks for: its parameters `cursor` and `limit`."""
    cursor, look = visit.query.cursor(), visit.board.settings.look
    limit = visit.query.whole("limit", 1, MOST_ROWS, ROWS)
    page = await visit.inspector.tasks(query, limit=limit, look=look, cursor=cursor)
    rows = [row_of(visit.board, each) for each in page.tasks]
    return TaskList(rows, page.looked, page.cursor, cursor is None, page.counts)


def sizes_of(counts: Mapping[str, Mapping[State, int]]) -> Mapping[State, int]:
    """Return each state with its number of tasks over some queues, also where that is 0."""
    sizes: dict[State, int] = {state: 0 for state in STATES}  # noqa: C420  (a wider type)
    for held in counts.values():
        for state, number in held.items():
            sizes[state] += number
    return sizes
