"""The stream of events that tells a page to look again."""

from typing import Final

from starlette.responses import StreamingResponse

from qcore.domain.new_task import MAX_QUEUE
from qcore.entrypoints.dashboard.refusals import NotThere
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import NOT_THERE, Visit

MOST_EVENTS: Final = 1_000_000


async def live(visit: Visit) -> StreamingResponse:
    """Tell, as server-sent events, when something changes that the visitor may see.

    With `queue` of that queue alone; `most` ends it after so many events.
    """
    if not visit.can_stream:
        raise NotThere(NOT_THERE)
    queue = visit.query.maybe("queue", most=MAX_QUEUE)
    most = visit.query.whole("most", 1, MOST_EVENTS, 0) or None

    def is_seen(name: str) -> bool:
        may_see = visit.may(Right.QUEUE_READ, name) or visit.may(Right.TASK_READ, name)
        return may_see and queue in {None, name}

    return StreamingResponse(
        visit.board.streams.events(visit.inspector, is_seen, most),
        media_type="text/event-stream",
        # proxies such as nginx would gather what is small until it is large
        headers={"x-accel-buffering": "no"},
    )


ROUTES: Final = (Route("GET", "live", Right.VISITOR, live, is_stream=True),)
