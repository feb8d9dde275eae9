"""Orders for all tasks of a query that a page asks about, and that are done while it waits."""

from collections.abc import Callable
from contextlib import aclosing

from attrs import field

from qcore.app.client.bulk_moves import Move, MoveProgress
from qcore.app.client.queries import Query
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit
from qcore.entrypoints.written_numbers import tasks


@record
class QueryOrder:
    """An order for all tasks of a query."""

    route: str
    verb: str
    """In the command that does the same."""
    label: str
    text: str
    """What it does, for who is asked to confirm it."""
    done: str
    """What is said of tasks that have followed it."""
    right: Right
    move: Callable[[], Move] = field(hash=False)


async def carried_out(
    visit: Visit, order: QueryOrder, query: Query, as_of: Moment, *, limit: int, look: int
) -> MoveProgress:
    """Give an order for so many tasks, looking at no more than a page can wait for."""
    progress = MoveProgress()
    moving = visit.inspector.move(query, order.move(), as_of=as_of, limit=limit, **who(visit))
    async with aclosing(moving) as steps:
        async for progress in steps:
            if progress.looked >= look:
                break
    return progress


def told(order: QueryOrder, progress: MoveProgress) -> str:
    """Return in words how far an order was followed."""
    said = [f"{tasks(progress.done)} {'is' if progress.done == 1 else 'are'} {order.done}."]
    if progress.skipped:
        said.append(f"{tasks(progress.skipped)} had moved on meanwhile.")
    if progress.failed:
        said.append(f"The store refused {tasks(progress.failed)}.")
    return " ".join(said)
