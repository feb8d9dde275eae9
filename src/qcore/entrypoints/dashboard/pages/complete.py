"""Completion of the query box: qualifiers, and values that the visitor may see."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from qcore.app.client.qualifiers import ARGS, NAME, QUALIFIERS, QUEUE, VALUES
from qcore.app.client.queries import MAX_QUERY
from qcore.app.client.query_completion import (
    as_value,
    qualifiers_beginning,
    typed_at_the_end,
)
from qcore.domain.new_task import MAX_QUEUE
from qcore.domain.statistics import Resolution
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Visit
from qcore.ports import recording_of

MOST: Final = 20
"""Values that are offered: what comes later is found by typing on."""
MOST_QUEUES: Final = 100
"""Queues whose tasks' names are looked for, while somebody types."""
NO_ELEMENTS: Final = {ord(each): f"\\u{ord(each):04x}" for each in "<>&"}
RECENT: Final = timedelta(days=2)


def completions(visit: Visit, **fixed: str) -> Mapping[str, object]:
    """Return what the query box of a page needs; names are those of a queue, if that is given."""
    return {
        "completions": visit.links.to("complete", **fixed, q=""),
        # for a browser without scripts
        "qualifiers": [f"{name}.…:" if name == ARGS else f"{name}:" for name in QUALIFIERS],
    }


async def complete(visit: Visit) -> Response:
    """Return, as JSON, what may stand where the query `q` ends, and what stays before it.

    Names are those of what has ended of late, in the queues that the visitor may see, or in
    `queue` alone.
    """
    typed = typed_at_the_end(visit.query.text("q", most=MAX_QUERY, default=""))
    if typed.qualifier is None:
        options = qualifiers_beginning(typed)
    else:
        known = await _values(visit, typed.qualifier)
        options = [as_value(each) for each in _fitting(known, typed.text)]
    told = {"before": typed.before, "options": options}
    # in ASCII, as a name may have characters that are none of UTF-8, and nothing like an element
    text = json.dumps(told).translate(NO_ELEMENTS)
    return Response(text, media_type="application/json")


async def _values(visit: Visit, qualifier: str) -> Iterable[str]:
    match qualifier:
        case _ if qualifier in VALUES:
            return VALUES[qualifier]
        case _ if qualifier == QUEUE:
            return await _queues(visit)
        case _ if qualifier == NAME:
            return await _task_names(visit)
        case _:
            return ()


async def _queues(visit: Visit) -> Sequence[str]:
    return sorted(visit.seen(Right.TASK_READ, await visit.inspector.counts()))


async def _task_names(visit: Visit) -> Iterable[str]:
    await visit.board.q.broker.open()
    if recording_of(visit.board.q.broker) is None:
        return ()
    queue = visit.query.maybe("queue", most=MAX_QUEUE)
    if queue is not None:
        visit.require(Right.TASK_READ, queue)
    queues = (await _queues(visit))[:MOST_QUEUES] if queue is None else [queue]
    if not queues:
        return ()
    rows = await visit.inspector.statistics(queues, since=RECENT, by=Resolution.DAY)
    return sorted({row.name for row in rows})


def _fitting(known: Iterable[str], text: str) -> list[str]:
    """Return the values that have a text in them; first those that begin with it."""
    wanted = text.casefold()
    found = [each for each in known if wanted in each.casefold()]
    return sorted(found, key=lambda each: not each.casefold().startswith(wanted))[:MOST]


ROUTES: Final = (Route("GET", "complete", Right.TASK_READ, complete),)
