"""Lists of tasks: of one queue by state, and of all queues by a query."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from qcore.app.client.qualifiers import STATE
from qcore.app.client.queries import STATES, Query
from qcore.domain.states import State
from qcore.entrypoints.dashboard.charts import charts_of
from qcore.entrypoints.dashboard.commands import typed
from qcore.entrypoints.dashboard.listing import TaskList, list_tasks, sizes_of
from qcore.entrypoints.dashboard.moves import BY_VERB, Move
from qcore.entrypoints.dashboard.pages.complete import completions
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Page, Visit
from qcore.ports import limiting_of

EVERY: Final = "all"
TABS: Final = (EVERY, *(str(state) for state in STATES))


async def tasks(visit: Visit) -> Page:
    """Show the tasks of a query, in the queues that the visitor may see."""
    allowed = visit.visitor.rights.query(Right.TASK_READ)
    values = await _listed(visit, allowed, None, {})
    return Page("tasks.html", "Tasks", values, _command(visit, Query(), values), live={})


async def queue(visit: Visit) -> Page:
    """Show one queue: its limits, and its tasks by state."""
    name = visit.query.queue()
    own = Query.where(queue=name)
    held = (await visit.inspector.counts()).get(name, {})
    has_limits = limiting_of(visit.board.q.broker) is not None
    may_see = visit.may(Right.TASK_READ, name)
    listed = await _listed(visit, own, sizes_of({name: held}), {"queue": name}) if may_see else {}
    values = {
        **listed,
        "queue": name,
        "may_see": may_see,
        "sizes": sizes_of({name: held}),
        "limits": await visit.inspector.limits(name) if has_limits else None,
        "is_empty": not held,
        "charts": await charts_of(visit, name),
        "charts_scope": "",
        "charts_fixed": {"queue": name},
    }
    return Page("queue.html", name, values, _command(visit, own, values), live={"queue": name})


async def _listed(
    visit: Visit, scope: Query, sizes: Mapping[State, int] | None, fixed: Mapping[str, str]
) -> dict[str, Any]:
    """Return a list of tasks with all that its template has: tabs, the query, the next page.

    The sizes are those of all that the visitor may see, unless they are given.
    """
    tab = visit.query.one_of("state", TABS, EVERY)
    asked = visit.query.query()
    found = await list_tasks(visit, scope & _of_tab(tab) & asked)
    if sizes is None:
        # thousands of queues are not counted twice for a page
        counts = await visit.inspector.counts() if found.counts is None else found.counts
        sizes = sizes_of(visit.seen(Right.TASK_READ, counts))
    return {
        "list": found,
        "tab": tab,
        "tabs": [(EVERY, sum(sizes.values())), *sizes.items()],
        "q": str(asked),
        "fixed": fixed,
        "look": visit.board.settings.look,
        "moves": _moves(visit, tab, fixed.get("queue")),
        "has_state": tab != EVERY or _names_state(asked),
        **completions(visit, **fixed),
    }


def _moves(visit: Visit, tab: str, queue: str | None) -> Sequence[Move]:
    """Return the orders for many tasks of a tab."""
    return [
        each
        for each in BY_VERB.values()
        if visit.may(each.right, queue) and (tab == EVERY or each.is_for(State(tab)))
    ]


def _names_state(query: Query) -> bool:
    return any(each.qualifier == STATE and not each.is_negated for each in query.terms)


def _of_tab(tab: str) -> Query:
    return Query() if tab == EVERY else Query.where(state=tab)


def _command(visit: Visit, own: Query, values: Mapping[str, Any]) -> Sequence[str]:
    tab = visit.query.one_of("state", TABS, EVERY)
    query = own & _of_tab(tab) & visit.query.query()
    listed: TaskList | None = values.get("list")
    errors = () if listed is None else (row.task.error for row in listed.rows)
    return typed(query, errors, "tasks", "list", *filter(None, [str(query)]))


ROUTES: Final = (
    Route("GET", "tasks", Right.TASK_READ, tasks, nav="Tasks"),
    Route("GET", "queue", Right.QUEUE_READ, queue, per_queue=True),
)
