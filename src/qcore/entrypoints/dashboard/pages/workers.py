"""Workers: what each runs, since when, and how it is, as its last announcement tells."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.workers import Condition, RunningTask, WorkerInfo
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Page, Visit
from qcore.entrypoints.written_times import duration

WORKERS: Final = 50
MOST_WORKERS: Final = 500
SHOWN_RUNS: Final = 5
"""Runs of a worker that are shown at once; the others can be unfolded."""
MAX_SEARCHED: Final = 200
BY_GRAVITY: Final = (
    Condition.BLOCKED,
    Condition.SILENT,
    Condition.PAUSED,
    Condition.STOPPING,
    Condition.RUNNING,
)
STATE_OF: Final[Mapping[Condition, str]] = {
    Condition.RUNNING: "active",
    Condition.PAUSED: "retry",
    Condition.STOPPING: "archived",
    Condition.BLOCKED: "dead",
    Condition.SILENT: "dead",
}
"""The colour of a condition, as that of a state of tasks."""


@record
class ShownWorker:
    """A worker, without what the visitor may not see of it."""

    info: WorkerInfo
    condition: Condition
    text: str
    """How it is, in words."""
    queues: Mapping[str, int] = field(hash=False)
    hidden: int
    """Queues besides those, of which its tasks and handlers are left out, too."""
    runs: Sequence[RunningTask]
    in_hand: int

    @property
    def colour(self) -> str:
        """Return the state of tasks that has its colour."""
        return STATE_OF[self.condition]


async def workers(visit: Visit) -> Page:
    """Show the workers of queues that the visitor may see, those that hang first."""
    searched = visit.query.text("name", most=MAX_SEARCHED, default="")
    limit = visit.query.whole("limit", 1, MOST_WORKERS, WORKERS)
    there = await visit.workers()
    found = [_shown(visit, each) for each in there or () if _fits(visit, each, searched)]
    found.sort(key=lambda each: BY_GRAVITY.index(each.condition))
    values = {
        "has_workers": there is not None,
        "number": len(there or ()),
        "found": len(found),
        "workers": found[:limit],
        "searched": searched,
        "runs": SHOWN_RUNS,
    }
    return Page("workers.html", "Workers", values, ("workers",), live={})


def _fits(visit: Visit, info: WorkerInfo, searched: str) -> bool:
    """Return whether a text is in what may be seen of a worker."""
    queues = (each for each in info.queues if visit.may(Right.WORKER_READ, each))
    return any(searched in each for each in (info.name, info.host, *queues))


def _shown(visit: Visit, info: WorkerInfo) -> ShownWorker:
    queues = {
        queue: weight
        for queue, weight in info.queues.items()
        if visit.may(Right.WORKER_READ, queue)
    }
    runs = [each for each in info.running if visit.may(Right.WORKER_READ, each.queue)]
    hidden = len(info.queues) - len(queues)
    condition = info.condition(visit.now)
    text = words(info, condition, visit.now)
    return ShownWorker(
        info, condition, text, queues, hidden, runs, len(runs) if hidden else info.in_hand
    )


def words(info: WorkerInfo, condition: Condition, now: Moment) -> str:
    """Return how a worker is, and what comes of it."""
    match condition:
        case Condition.SILENT:
            ago, left = duration(info.age(now)), duration(max(0.0, info.expires - now))
            return (
                f"It has not been heard of for {ago}: frozen, cut off from the store, or killed. "
                f"It counts as gone in {left}; its tasks are taken back when their leases run out."
            )
        case Condition.BLOCKED:
            return (
                f"It hangs: its event loop has been blocked for {duration(info.loop_lag)}, and it "
                "neither starts nor ends a task. Make the handler at fault a plain function, which "
                "runs in a thread; the worker's log says where the loop stands."
            )
        case Condition.STOPPING:
            return "It stops: it claims nothing more, and leaves when its tasks have ended."
        case Condition.PAUSED:
            return "It is paused: it goes on with what it has, and claims nothing more."
        case Condition.RUNNING:
            return ""


ROUTES: Final = (Route("GET", "workers", Right.WORKER_READ, workers, nav="Workers"),)
