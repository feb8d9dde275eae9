"""Periodic tasks: when each ticks and what became of its ticks, and orders for one."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from qcore.app.client.entries import Entries
from qcore.app.client.entry_listing import (
    LOOK,
    EntryPage,
    EntrySearch,
    EntryStatus,
    ListedEntry,
    entry_page,
)
from qcore.domain.new_task import MAX_NAME
from qcore.domain.periodic.entry import MAX_ENTRY_ID
from qcore.domain.record import record
from qcore.entrypoints.dashboard.audit import Who, who
from qcore.entrypoints.dashboard.entry_listing import (
    arguments_of,
    late_by,
    next_ticks,
    opened,
)
from qcore.entrypoints.dashboard.refusals import NotThere
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit

ENTRIES: Final = 50
MOST_ENTRIES: Final = 500
EVERY: Final = "all"
TABS: Final = (EVERY, *(str(each) for each in EntryStatus))
NOT_STORED: Final = "there is no such periodic task, or not any more"
COLOURS: Final[Mapping[EntryStatus, str]] = {
    EntryStatus.ACTIVE: "active",
    EntryStatus.WAITING: "retry",
    EntryStatus.PAUSED: "retry",
    EntryStatus.ENDED: "archived",
    EntryStatus.STALE: "dead",
    EntryStatus.UNREADABLE: "dead",
}
"""The colour of a status, as that of a state of tasks."""
TEXTS: Final[Mapping[EntryStatus, str]] = {
    EntryStatus.ACTIVE: "It ticks.",
    EntryStatus.WAITING: "Its next tick waits until the task of the last one has ended.",
    EntryStatus.PAUSED: "It makes no tasks until it is resumed; what it misses is not made up for.",
    EntryStatus.ENDED: "It has no ticks left.",
    EntryStatus.STALE: (
        "No code declares it any more: it does not tick, and is removed a week after its code was "
        "last seen. Deploy the code that declares it, or remove it."
    ),
    EntryStatus.UNREADABLE: (
        "A newer qcore has stored it, or somebody by hand. It is never fired by this one: upgrade "
        "the workers, or remove it."
    ),
}

Change: TypeAlias = Callable[[Entries, str, str, Who], Awaitable[object]]


@record
class Order:
    """An order for an entry."""

    verb: str
    label: str
    done: str
    change: Change
    asks: bool = False


async def _run(entries: Entries, name: str, queue: str, given: Who) -> object:
    return await entries.run_now(name, queue=queue, **given)


async def _pause(entries: Entries, name: str, queue: str, given: Who) -> object:
    return await entries.pause(name, queue=queue, **given)


async def _resume(entries: Entries, name: str, queue: str, given: Who) -> object:
    return await entries.resume(name, queue=queue, **given)


async def _remove(entries: Entries, name: str, queue: str, given: Who) -> object:
    return await entries.remove(name, queue=queue, **given) or None


ORDERS: Final[Mapping[str, Order]] = {
    each.verb: each
    for each in (
        Order("run", "Run now", "has made a task, beside its schedule", _run),
        Order("pause", "Pause", "is paused", _pause),
        Order("resume", "Resume", "ticks again from now on", _resume),
        Order("remove", "Remove", "is removed; its tasks stay", _remove, asks=True),
    )
}


async def periodic(visit: Visit) -> Page:
    """Show the periodic tasks of queues that the visitor may see."""
    store = await opened(visit)
    tab = visit.query.one_of("status", TABS, EVERY)
    text = visit.query.text("name", most=MAX_NAME, default="")
    limit = visit.query.whole("limit", 1, MOST_ENTRIES, ENTRIES)
    cursor = visit.query.cursor()
    search = EntrySearch(text, None if tab == EVERY else EntryStatus(tab))
    page: EntryPage | None = None
    if store is not None:
        may_read = partial(visit.may, Right.PERIODIC_READ)
        page = await entry_page(store, visit.now, limit, cursor, search, has_queue=may_read)
    values: dict[str, Any] = {
        "list": page,
        "tabs": TABS,
        "tab": tab,
        "searched": text,
        "is_first": cursor is None,
        "look": LOOK,
        "colours": COLOURS,
        "late": {(e.queue, e.name): late_by(e, visit.now) for e in page.entries} if page else {},
    }
    return Page("periodic.html", "Periodic tasks", values, ("periodic", "list"), live={})


async def entry(visit: Visit) -> Page:
    """Show one periodic task: when it ticks, and what became of its ticks."""
    queue, name = visit.query.queue(), visit.query.text("name", most=MAX_ENTRY_ID)
    found = await _found(visit, queue, name)
    spec = None if found.entry is None else found.entry.task
    may_move = visit.may(Right.PERIODIC_MOVE, queue)
    values = {
        "each": found,
        "arguments": None if spec is None else arguments_of(visit.board, spec),
        "ticks": next_ticks(found, visit.now),
        "late": late_by(found, visit.now),
        "text": TEXTS[found.status],
        "colour": COLOURS[found.status],
        "orders": [ORDERS[verb] for verb in _verbs(found)] if may_move else [],
        "may_see": visit.may(Right.TASK_READ, queue),
    }
    command = ("periodic", "show", name, "--queue", queue)
    return Page("periodic_entry.html", name, values, command, live={})


async def move(visit: Visit) -> Answer:
    """Carry out an order for a periodic task; ask before it is removed."""
    order = ORDERS[visit.form.one_of("verb", ORDERS)]
    queue, name = visit.form.queue(), visit.form.text("name", most=MAX_ENTRY_ID)
    if order.asks and visit.form.maybe("confirm", most=len(YES)) != YES:
        values = {"each": await _found(visit, queue, name), "order": order}
        command = ("periodic", order.verb, name, "--queue", queue)
        return Page("periodic_confirm.html", f"{order.label}?", values, command)
    answer = await order.change(visit.board.q.entries, name, queue, who(visit))
    if answer is None:
        raise NotThere(NOT_STORED)
    to = (
        visit.links.to("periodic")
        if order.asks
        else visit.links.to("periodic-entry", queue=queue, name=name)
    )
    return Done(to, f"{name} {order.done}.")


def _verbs(listed: ListedEntry) -> list[str]:
    """Return the orders that make sense for an entry."""
    match listed.status:
        case EntryStatus.UNREADABLE:
            return ["remove"]
        case EntryStatus.PAUSED:
            return ["run", "resume", "remove"]
        case _:
            return ["run", "pause", "remove"]


async def _found(visit: Visit, queue: str, name: str) -> ListedEntry:
    store = await opened(visit)
    found = None if store is None else await visit.board.entries.get(name, queue=queue)
    if found is None:
        raise NotThere(NOT_STORED)
    return found


ROUTES: Final = (
    Route("GET", "periodic", Right.PERIODIC_READ, periodic, nav="Periodic"),
    Route("GET", "periodic-entry", Right.PERIODIC_READ, entry, per_queue=True),
    Route("POST", "periodic-move", Right.PERIODIC_MOVE, move, per_queue=True),
)
