"""What a worker announces of itself, and what may be concluded from how old that is."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import field

from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record

ANNOUNCE_EVERY: Final = 5.0
"""Seconds between two announcements of a worker, unless it was told otherwise."""
MISSED: Final = 3
"""Announcements that a worker may miss before it counts as gone."""
BLOCKED_AFTER: Final = 1.0
"""Seconds by which an event loop is late before it counts as blocked."""
MOST_RUNS: Final = 250
"""Runs that an announcement lists: the longest ones."""


class Condition(StrEnum):
    """How a worker is, as far as its last announcement tells."""

    RUNNING = "running"
    """It claims tasks."""
    PAUSED = "paused"
    """It was asked to claim no more, and goes on with what it has."""
    STOPPING = "stopping"
    """It claims no more, and leaves when its tasks have ended."""
    BLOCKED = "blocked"
    """A handler keeps its event loop from turning: it neither starts nor ends anything."""
    SILENT = "silent"
    """It has missed an announcement: frozen, cut off from the store, or killed just now."""


@record
class RunningTask:
    """A task in the hands of a worker."""

    queue: str
    id: TaskId
    name: str
    since: Moment
    """When its handler was called; where that is yet to come, when this was announced."""


@record
class WorkerInfo:
    """What a worker announces of itself. Moments are epoch seconds."""

    id: str
    """Of this one run of a worker: another begins with another id, also under the same name."""
    name: str
    """As it stands in the errors of tasks: the setting `name`, by default host and process."""
    host: str
    pid: int
    version: str
    """Of qcore."""
    queues: Mapping[str, int] = field(hash=False)
    """Queue to weight, in the order of precedence."""
    is_strict: bool
    """Whether a queue is served only when those before it are empty."""
    handlers: tuple[str, ...]
    """The names of tasks that it knows; one that ends in ":", or is empty, is a prefix."""
    concurrency: int
    """Tasks in hand at a time, at most."""
    started: Moment
    seen: Moment
    """When this was announced."""
    expires: Moment
    """When it counts as gone, unless it announces itself again."""
    in_hand: int = 0
    """How many tasks it has."""
    running: tuple[RunningTask, ...] = ()
    """Those tasks, the longest runs first; at most 250 of them."""
    loop_lag: float = 0.0
    """Seconds by which its event loop was late, or has been blocked so far."""
    last_claim: Moment | None = None
    """When a claim was last answered, with tasks or without; None before the first one."""
    is_paused: bool = False
    is_stopping: bool = False
    app_version: str | None = None
    """Of the application that it runs: the setting `app_version`."""

    def age(self, now: Moment) -> float:
        """Return how many seconds ago it was last heard of; 0 if its clock is ahead."""
        return max(0.0, now - self.seen)

    def condition(self, now: Moment) -> Condition:
        """Return how it is: what keeps it from its work comes before what it was asked for."""
        if self.age(now) > (self.expires - self.seen) / 2:
            return Condition.SILENT
        if self.loop_lag >= BLOCKED_AFTER:
            return Condition.BLOCKED
        if self.is_stopping:
            return Condition.STOPPING
        return Condition.PAUSED if self.is_paused else Condition.RUNNING


def run_of(
    workers: Iterable[WorkerInfo], queue: str, task: TaskId
) -> tuple[WorkerInfo, RunningTask] | None:
    """Return the worker that has a task in hand, with since when; None where none tells of it.

    The latest run counts: a worker that is frozen may tell of one that another has begun since.
    """
    runs = (
        (info, each)
        for info in workers
        for each in info.running
        if (each.queue, each.id) == (queue, task)
    )
    return max(runs, key=lambda run: run[1].since, default=None)


def in_order(infos: list[WorkerInfo]) -> list[WorkerInfo]:
    """Return workers in the order in which brokers list them: by start, then by id."""
    return sorted(infos, key=lambda info: (info.started, info.id))
