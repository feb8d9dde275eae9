"""Groups: tasks that wait to become one, and orders for all that wait in one."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from attrs import field

from qcore.app.client.bulk_moves import Move, MoveProgress
from qcore.app.client.group_listing import GroupPage
from qcore.app.client.queries import Query
from qcore.domain.groups import Group
from qcore.domain.new_task import MAX_NAME, MAX_QUEUE
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.transitions import Discarded, RunNow
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.listing import row_of
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit
from qcore.ports import Aggregating, aggregating_of

GROUPS: Final = 50
MOST_GROUPS: Final = 500
MEMBERS: Final = 50
CALLS: Final = 300
"""Queues that are asked for groups for one page."""
MOST_MOVED: Final = 1_000
LOOK: Final = 10_000
"""Tasks that are looked at to move those of a group, while a page is waited for."""


@record
class GroupOrder:
    """An order for all tasks of a group."""

    verb: str
    """Of `qcore groups`, and in the form."""
    label: str
    text: str
    done: str
    move: Callable[[], Move] = field(hash=False)
    is_grave: bool = False


ORDERS: Final[Mapping[str, GroupOrder]] = {
    each.verb: each
    for each in (
        GroupOrder(
            "run",
            "Release",
            "Each of them is run by itself, at once; they do not become one.",
            "pending",
            RunNow,
        ),
        GroupOrder(
            "discard",
            "Discard",
            "They are set aside, and are not run. They can be brought back until they are removed.",
            "discarded",
            Discarded,
            is_grave=True,
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
    store = await _opened(visit)
    found = None if store is None else await _page(visit, store, queue, limit, cursor)
    values = {"list": found, "queue": queue, "is_first": cursor is None}
    return Page("groups.html", "Groups", values, ("groups", "list", *([queue] if queue else [])))


async def group(visit: Visit) -> Page:
    """Show the tasks that wait in a group."""
    queue, name = visit.query.queue(), visit.query.text("name", most=MAX_NAME)
    has_groups = await _opened(visit) is not None
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
        command = ("groups", order.verb, name, "--queue", queue)
        return Page("group_confirm.html", f"{order.label}?", values, command)
    as_of = visit.form.moment("as_of", visit.now)
    progress = MoveProgress()
    moving = visit.inspector.move(query, order.move(), as_of=as_of, limit=MOST_MOVED, **who(visit))
    async with aclosing(moving) as steps:
        async for progress in steps:
            if progress.looked >= LOOK:
                break
    tasks = "1 task is" if progress.done == 1 else f"{progress.done:,} tasks are"
    to = visit.links.to("group", queue=queue, name=name)
    return Done(to, f"{tasks} {order.done}.", is_good=progress.done > 0)


async def _page(
    visit: Visit, store: Aggregating, queue: str | None, limit: int, cursor: str | None
) -> GroupPage:
    """Return groups after a cursor, of those queues alone that the visitor may see."""
    at_queue, after = ("", "") if cursor is None else _decoded(cursor)
    counts = visit.seen(Right.GROUP_READ, await visit.inspector.counts())
    queues = [
        each
        for each in sorted(counts)
        if State.AGGREGATING in counts[each] and each >= at_queue and queue in {None, each}
    ]
    found: list[Group] = []
    for each in queues[:CALLS]:
        # one more than is shown tells whether there are more
        room = limit + 1 - len(found)
        found += await store.groups(each, room, after=after if each == at_queue else "")
        if len(found) > limit:
            last = found[limit - 1]
            return GroupPage(found[:limit], json.dumps([last.queue, last.name]))
    more = queues[CALLS] if len(queues) > CALLS else None
    return GroupPage(found, None if more is None else json.dumps([more, ""]))


def _waiting(queue: str, name: str) -> Query:
    return Query.where(state=State.AGGREGATING, queue=queue, group=name)


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        queue, name = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        queue = name = None
    if not isinstance(queue, str) or not isinstance(name, str):
        raise BadRequest("the cursor is none of this page: expected that of its link")
    return queue, name


async def _opened(visit: Visit) -> Aggregating | None:
    """Return the store as one that has groups; None where it has none."""
    broker = visit.board.q.broker
    await broker.open()
    return aggregating_of(broker)


ROUTES: Final = (
    Route("GET", "groups", Right.GROUP_READ, groups, nav="Groups"),
    Route("GET", "group", Right.GROUP_READ, group, per_queue=True),
    Route("POST", "group-move", Right.GROUP_MOVE, move, per_queue=True),
)
