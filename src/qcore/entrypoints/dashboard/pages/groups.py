"""Groups: tasks that wait to become one, and orders for all that wait in one."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from qcore.app.client.group_listing import group_page
from qcore.app.client.queries import Query
from qcore.domain.errors import AggregationFailure
from qcore.domain.new_task import MAX_NAME, MAX_QUEUE
from qcore.domain.states import State
from qcore.domain.transitions import Discarded, RunNow
from qcore.entrypoints.dashboard.audit import AGGREGATE, tell
from qcore.entrypoints.dashboard.listing import row_of
from qcore.entrypoints.dashboard.query_orders import QueryOrder, carried_out, told
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit
from qcore.entrypoints.written_numbers import tasks
from qcore.ports import aggregating_of

MOVE: Final = "group-move"
GROUPS: Final = 50
MOST_GROUPS: Final = 500
MEMBERS: Final = 50
CALLS: Final = 300
"""Queues that are asked for groups for one page."""
MOST_MOVED: Final = 1_000
LOOK: Final = 10_000
"""Tasks that are looked at to move those of a group, while a page is waited for."""


ORDERS: Final[Mapping[str, QueryOrder]] = {
    each.verb: each
    for each in (
        QueryOrder(
            MOVE,
            "run",
            "Release",
            "Each of them is run by itself, at once; they do not become one.",
            "pending",
            Right.GROUP_MOVE,
            RunNow,
        ),
        QueryOrder(
            MOVE,
            "discard",
            "Discard",
            "They are set aside, and are not run. They can be brought back until they are removed.",
            "discarded",
            Right.GROUP_MOVE,
            Discarded,
        ),
    )
}


async def groups(visit: Visit) -> Page:
    """Show the groups in queues that the visitor may see."""
    queue = visit.query.maybe("queue", most=MAX_QUEUE)
    if queue is not None:
        visit.require(Right.GROUP_READ, queue)
    limit = visit.query.whole("limit", 1, MOST_GROUPS, GROUPS)
    cursor = visit.query.cursor()
    found = None
    if await _has_groups(visit):
        may_read = partial(visit.may, Right.GROUP_READ)
        broker = visit.board.q.broker
        found = await group_page(broker, queue, limit, cursor, calls=CALLS, has_queue=may_read)
    values = {"list": found, "queue": queue, "is_first": cursor is None}
    return Page("groups.html", "Groups", values, ("groups", "list", *([queue] if queue else [])))


async def group(visit: Visit) -> Page:
    """Show the tasks that wait in a group."""
    queue, name = visit.query.queue(), visit.query.text("name", most=MAX_NAME)
    has_groups = await _has_groups(visit)
    # one more than is shown tells whether there are more
    members = await visit.inspector.members(queue, name, limit=MEMBERS + 1) if has_groups else ()
    may_see = visit.may(Right.TASK_READ, queue)
    values = {
        "queue": queue,
        "name": name,
        "number": min(MEMBERS, len(members)),
        "has_more": len(members) > MEMBERS,
        "first": members[0].due if members else None,
        "may_see": may_see,
        "query": _waiting(queue, name),
        "rows": [row_of(visit.board, each) for each in members[:MEMBERS]] if may_see else [],
        "has_aggregator": _has_aggregator(visit, queue, name),
        "orders": [*ORDERS.values()] if members and visit.may(Right.GROUP_MOVE, queue) else [],
    }
    return Page("group.html", name, values, ("groups", "show", name, "--queue", queue))


async def move(visit: Visit) -> Answer:
    """Give an order for all tasks that wait in a group; ask before."""
    order = ORDERS[visit.form.one_of("verb", ORDERS)]
    queue, name = visit.form.queue(), visit.form.text("name", most=MAX_NAME)
    query = _waiting(queue, name)
    if visit.form.maybe("confirm", most=len(YES)) != YES:
        preview = await visit.inspector.preview(query, order.move(), look=LOOK, sample=1)
        values = {"order": order, "preview": preview, "queue": queue, "name": name}
        command = ("tasks", order.verb, str(query))
        return Page("group_confirm.html", f"{order.label}?", values, command)
    as_of = visit.form.moment("as_of", visit.now)
    progress = await carried_out(visit, order, query, as_of, limit=MOST_MOVED, look=LOOK)
    to = visit.links.to("group", queue=queue, name=name)
    return Done(to, told(order, progress), is_good=progress.done > 0)


async def aggregate(visit: Visit) -> Done:
    """Make one task of those that wait in a group, by its aggregator, which is called here."""
    queue, name = visit.form.queue(), visit.form.text("name", most=MAX_NAME)
    here = visit.links.to("group", queue=queue, name=name)
    if not _has_aggregator(visit, queue, name):
        return Done(here, f"Nothing was done: {name} has no aggregator here.", is_good=False)
    try:
        made = await visit.board.q.aggregate(name, queue=queue)
    except AggregationFailure as error:
        # its text may quote arguments that are masked
        why = "" if error.__cause__ is None else f" by a {type(error.__cause__).__name__}"
        said = f"The aggregator of {name} has failed{why}. The tasks that are left wait as before."
        return Done(here, said, is_good=False)
    if not made:
        return Done(here, f"Nothing was done: no task waits in {name}.", is_good=False)
    tell(visit, AGGREGATE, queue, name, made)
    said = f"{name} has become {tasks(len(made))}: {made[0]}."
    return Done(visit.links.to("task", queue=queue, id=made[0]), said)


def _has_aggregator(visit: Visit, queue: str, name: str) -> bool:
    return visit.board.q.aggregators.resolve(queue, name) is not None


def _waiting(queue: str, name: str) -> Query:
    return Query.where(state=State.AGGREGATING, queue=queue, group=name)


async def _has_groups(visit: Visit) -> bool:
    broker = visit.board.q.broker
    await broker.open()
    return aggregating_of(broker) is not None


ROUTES: Final = (
    Route("GET", "groups", Right.GROUP_READ, groups, nav="Groups"),
    Route("GET", "group", Right.GROUP_READ, group, per_queue=True),
    Route("POST", "group-aggregate", Right.GROUP_MOVE, aggregate, per_queue=True),
    Route("POST", MOVE, Right.GROUP_MOVE, move, per_queue=True),
)
