"""List the groups in which tasks wait to be aggregated, over all queues, page by page."""

import json
from collections.abc import Callable, Sequence
from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.groups import Group
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.text import shown
from qcore.ports import Aggregating, Broker, aggregating_of

DEFAULT_WAITING: Final = 100


@record
class GroupPage:
    """Some of the groups, by queue, then by name."""

    groups: Sequence[Group]
    cursor: str | None = None
    """Asks for those after them; None at the end."""


def aggregating(broker: Broker) -> Aggregating:
    """Return a broker as one that has groups; raise `InvalidOption` where it has none."""
    found = aggregating_of(broker)
    if found is None:
        raise InvalidOption("this broker has no groups")
    return found


async def group_page(
    broker: Broker,
    queue: str | None,
    limit: int,
    cursor: str | None,
    *,
    calls: int | None = None,
    has_queue: Callable[[str], bool] = lambda _: True,
) -> GroupPage:
    """Return groups of a queue, or of all, that come after a cursor; of queues that are wanted.

    At most so many queues are asked, if `calls` says so: then a page may have fewer groups than its
    limit, and a cursor. Raises `InvalidOption` for a cursor that is of no such page.
    """
    found = aggregating(broker)
    after_queue, after = ("", "") if cursor is None else _decoded(cursor)
    counts = await broker.count()
    waiting = [
        name
        for name in sorted(counts)
        if State.AGGREGATING in counts[name]
        and queue in {None, name}
        and name >= after_queue
        and has_queue(name)
    ]
    groups: list[Group] = []
    for name in waiting[:calls]:
        # one more than is shown tells whether there are more
        room = limit + 1 - len(groups)
        groups += await found.groups(name, room, after=after if name == after_queue else "")
        if len(groups) > limit:
            last = groups[limit - 1]
            return GroupPage(groups[:limit], json.dumps([last.queue, last.name]))
    left = [] if calls is None else waiting[calls:]
    return GroupPage(groups, json.dumps([left[0], ""]) if left else None)


def _decoded(cursor: str) -> tuple[str, str]:
    try:
        queue, group = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        queue = group = None
    if not isinstance(queue, str) or not isinstance(group, str):
        raise InvalidOption(f"cursor is {shown(cursor)}: expected that of a page of groups")
    return queue, group
