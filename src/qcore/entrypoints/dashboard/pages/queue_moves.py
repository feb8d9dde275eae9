"""Orders for a queue: pause and resume it, limit it, remove it."""

from typing import Final

from qcore.domain.errors import QueueHasTasks
from qcore.domain.queue_limits import MOST, Limits
from qcore.entrypoints.dashboard.audit import who
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Answer, Route
from qcore.entrypoints.dashboard.visit import YES, Done, Page, Visit
from qcore.entrypoints.written_numbers import tasks

PAUSE: Final = "pause"
RESUME: Final = "resume"
MAX_RATE: Final = 40
MOST_REMOVED: Final = 5_000
"""Tasks that are deleted with a queue while its page is waited for."""


async def pause(visit: Visit) -> Done:
    """Hand out nothing of a queue, or hand its tasks out again."""
    name, to = visit.form.queue(), visit.form.one_of("to", (PAUSE, RESUME))
    change = visit.inspector.pause if to == PAUSE else visit.inspector.resume
    await change(name, **who(visit))
    said = "is paused: what runs goes on" if to == PAUSE else "hands out its tasks again"
    return _done(visit, name, f"The queue {name} {said}.")


async def limit(visit: Visit) -> Done:
    """Set how many tasks may start in a time, and how many may run at a time."""
    name = visit.form.queue()
    rate = visit.form.maybe("rate", most=MAX_RATE)
    most = visit.form.whole("in_flight", 1, MOST, 0) or None
    await visit.inspector.limit_rate(name, rate, **who(visit))
    limits = await visit.inspector.limit_in_flight(name, most, **who(visit))
    return _done(visit, name, f"The queue {name} {_told(limits)}.")


async def remove(visit: Visit) -> Answer:
    """Remove a queue with all that is kept of it; ask first."""
    name = visit.form.queue()
    held = sum((await visit.inspector.counts()).get(name, {}).values())
    command = ("queues", "remove", name, *(["--force"] if held else []))
    if visit.form.maybe("confirm", most=len(YES)) != YES:
        values = {"queue": name, "held": held}
        return Page("remove_queue.html", "Remove the queue?", values, command)
    if held > MOST_REMOVED:
        raise QueueHasTasks(
            f"the queue {name!r} has {held:,} tasks, too many to be deleted while a page is made: "
            "expected qcore queues remove --force, or that they are deleted first"
        )
    deleted = await visit.inspector.remove_queue(name, force=True, **who(visit))
    said = f"The queue {name} is removed, and {tasks(deleted)} with it."
    return Done(visit.links.to(""), said)


def _done(visit: Visit, name: str, said: str) -> Done:
    return Done(visit.links.to("queue", queue=name), said)


def _told(limits: Limits) -> str:
    told: list[str] = []
    if limits.rate is not None:
        told.append(f"starts {limits.rate.count:,} tasks in {limits.rate.per:g} s at most")
    if limits.in_flight is not None:
        told.append(f"runs {limits.in_flight:,} at a time at most")
    return " and ".join(told) or "has no limits"


ROUTES: Final = (
    Route("POST", "queue-pause", Right.QUEUE_PAUSE, pause, per_queue=True),
    Route("POST", "queue-limit", Right.QUEUE_LIMIT, limit, per_queue=True),
    Route("POST", "queue-remove", Right.QUEUE_REMOVE, remove, per_queue=True),
)
