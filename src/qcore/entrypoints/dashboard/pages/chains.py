"""Chains: how far each has come, what comes next, and above all which have stopped."""

from collections.abc import Mapping
from typing import Final

from attrs import field

from qcore.app.calls.chain_header import decode_steps, ids_of_steps
from qcore.app.calls.chain_steps import ChainState, Position, chain_state, position_in
from qcore.app.client.queries import Query
from qcore.domain.errors import CannotDecode
from qcore.domain.record import record
from qcore.domain.task import Task
from qcore.entrypoints.dashboard.commands import typed
from qcore.entrypoints.dashboard.listing import Row, list_tasks
from qcore.entrypoints.dashboard.pages.complete import completions
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Page, Visit

EVERY: Final = "all"
TABS: Final[Mapping[str, str]] = {
    ChainState.STOPPED: "chain:stopped",
    ChainState.OPEN: "chain:open",
    ChainState.DONE: "chain:done",
    # each once: of those steps that are kept, the one that it has come to
    EVERY: "chain:stopped,open,done",
}
"""What stands first needs somebody: it is what the page opens with."""


@record
class Next:
    """The step that is enqueued when the one before it has succeeded."""

    name: str
    queue: str


@record
class ChainRow:
    """A chain, as the task of the step that it has come to."""

    row: Row = field(hash=False)
    stands: ChainState | None
    position: Position | None
    """None where that is not told, or where later steps may not be seen."""
    is_readable: bool
    """Whether the later steps can be read here."""
    next: Next | None
    """None after the last step, and where it may not be seen."""


async def chains(visit: Visit) -> Page:
    """Show the chains of a query, by steps in queues that the visitor may see."""
    tab = visit.query.one_of("state", [*TABS], ChainState.STOPPED)
    asked = visit.query.query()
    query = Query.parse(TABS[tab]) & asked
    found = await list_tasks(visit, visit.visitor.rights.query(Right.TASK_READ) & query)
    values = {
        "list": found,
        "rows": [_row_of(visit, each) for each in found.rows],
        "tab": tab,
        "tabs": [*TABS],
        "q": str(asked),
        "look": visit.board.settings.look,
        **completions(visit),
    }
    command = typed(query, (each.task.error for each in found.rows), "tasks", "list", str(query))
    return Page("chains.html", "Chains", values, command, live={})


def _row_of(visit: Visit, row: Row) -> ChainRow:
    task = row.task
    try:
        following = _following(visit, task)
    except CannotDecode:
        return ChainRow(row, chain_state(task), None, is_readable=False, next=None)
    seen = [each for each in following if visit.may(Right.TASK_READ, each.queue)]
    is_all = len(seen) == len(following)
    position = position_in(task.spec.headers) if is_all else None
    following_next = following[0] if following and following[0] in seen else None
    return ChainRow(row, chain_state(task), position, is_readable=True, next=following_next)


def _following(visit: Visit, task: Task) -> list[Next]:
    plans = decode_steps(task.spec, visit.board.codec)
    places = ids_of_steps(task.spec, plans)
    return [
        Next(str(plan["task"].get("name", "?")), queue)
        for plan, (queue, _) in zip(plans, places, strict=True)
    ]


ROUTES: Final = (Route("GET", "chains", Right.TASK_READ, chains, nav="Chains"),)
