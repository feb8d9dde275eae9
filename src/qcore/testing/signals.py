"""`Signals`: an instrument by which a test waits for an event, by name, instead of sleeping."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.events import (
    AggregationFailed,
    BrokerFailed,
    BrokerRecovered,
    Event,
    LeaseWasLost,
    LoopBlocked,
    NoAggregator,
    NoHandler,
    Operated,
    PeriodicFailed,
    PeriodicMissed,
    PeriodicTicked,
    TaskFinished,
    TasksAggregated,
    TasksClaimed,
    TasksSettled,
    TasksSwept,
    TaskStarted,
    WorkerFailed,
    WorkerPaused,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)
from qcore.domain.record import record
from qcore.domain.task import Claim, Verdict

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Real seconds to wait for a signal: enough on a busy machine, and only waits in vain take them."""


class NoSignal(AssertionError):
    """Say which signal did not come in time, and what happened instead."""


@record
class Settlement:
    """One verdict of a batch, and how it was answered."""

    verdict: Verdict
    answer: Settled | LeaseLost


class Signal(Generic[T]):
    """One kind of event, to be waited for.

    It is latched: what came before anybody waited is kept, and each is handed out once, in the
    order of coming. `seen` keeps them all.
    """

    def __init__(self, name: str, story: Callable[[], str]) -> None:
        self.seen: list[T] = []
        self._name = name
        self._story = story
        self._unread: deque[T] = deque()
        self._waiting: set[Callable[[], None]] = set()
        self._lock = Lock()

    def give(self, what: T) -> None:
        """Let it have happened; from any thread."""
        with self._lock:
            self.seen.append(what)
            self._unread.append(what)
            waiting = tuple(self._waiting)
        for wake in waiting:
            wake()

    async def next(self, timeout: float = PATIENCE) -> T:  # noqa: ASYNC109  (it has a story to tell)
        """Return the next one that nobody has been given; wait for it if need be.

        Raises `NoSignal`, an `AssertionError`, when `timeout` real seconds are over.
        """
        return (await self.wait(1, timeout))[0]

    async def wait(self, count: int, timeout: float = PATIENCE) -> Sequence[T]:  # noqa: ASYNC109
        """Return the next `count` that nobody has been given; wait for them if need be.

        Raises `NoSignal` when `timeout` real seconds are over; what had come is handed out later.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._take(count)
        except TimeoutError:
            # a busy loop learns at once of the signal and that the time is over
            if (taken := self._taken(count)) is not None:
                return taken
            raise NoSignal(
                f"{len(self._unread)} of {count} {self._name!r} came within {timeout} s"
                f" ({len(self.seen)} in all); what happened: {self._story()}"
            ) from None

    async def _take(self, count: int) -> Sequence[T]:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        wake = partial(_wake, loop, came)
        self._waiting.add(wake)
        try:
            while (taken := self._taken(count)) is None:
                came.clear()
                await came.wait()
        finally:
            self._waiting.discard(wake)
        return taken

    def _taken(self, count: int) -> Sequence[T] | None:
        """Return the next `count`, or None, and take nothing, where there are not so many."""
        with self._lock:
            if len(self._unread) < count:
                return None
            return [self._unread.popleft() for _ in range(count)]


class Signals:
    """An `Instrument` that turns events into signals: `await signals.settled.next()`.

    What comes in batches is signalled one by one: `claimed` a claim at a time, `settled` a verdict
    with its answer at a time. May be called from any thread, and waited for in any loop.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.worker_started: Signal[WorkerStarted] = Signal("worker_started", self.story)
        self.paused: Signal[WorkerPaused] = Signal("paused", self.story)
        self.stopping: Signal[WorkerStopping] = Signal("stopping", self.story)
        self.stopped: Signal[WorkerStopped] = Signal("stopped", self.story)
        self.worker_failed: Signal[WorkerFailed] = Signal("worker_failed", self.story)
        self.claimed: Signal[Claim] = Signal("claimed", self.story)
        self.started: Signal[TaskStarted] = Signal("started", self.story)
        self.finished: Signal[TaskFinished] = Signal("finished", self.story)
        self.settled: Signal[Settlement] = Signal("settled", self.story)
        self.swept: Signal[TasksSwept] = Signal("swept", self.story)
        self.aggregated: Signal[TasksAggregated] = Signal("aggregated", self.story)
        self.aggregation_failed: Signal[AggregationFailed] = Signal(
            "aggregation_failed", self.story
        )
        self.no_aggregator: Signal[NoAggregator] = Signal("no_aggregator", self.story)
        self.ticked: Signal[PeriodicTicked] = Signal("ticked", self.story)
        self.operated: Signal[Operated] = Signal("operated", self.story)
        self.missed: Signal[PeriodicMissed] = Signal("missed", self.story)
        self.periodic_failed: Signal[PeriodicFailed] = Signal("periodic_failed", self.story)
        self.lease_lost: Signal[LeaseWasLost] = Signal("lease_lost", self.story)
        self.no_handler: Signal[NoHandler] = Signal("no_handler", self.story)
        self.blocked: Signal[LoopBlocked] = Signal("blocked", self.story)
        self.broker_failed: Signal[BrokerFailed] = Signal("broker_failed", self.story)
        self.recovered: Signal[BrokerRecovered] = Signal("recovered", self.story)
        self._whole: dict[type, Signal[Any]] = {
            WorkerStarted: self.worker_started,
            WorkerPaused: self.paused,
            WorkerStopping: self.stopping,
            WorkerStopped: self.stopped,
            WorkerFailed: self.worker_failed,
            TaskStarted: self.started,
            TaskFinished: self.finished,
            TasksSwept: self.swept,
            TasksAggregated: self.aggregated,
            AggregationFailed: self.aggregation_failed,
            NoAggregator: self.no_aggregator,
            PeriodicTicked: self.ticked,
            PeriodicMissed: self.missed,
            Operated: self.operated,
            PeriodicFailed: self.periodic_failed,
            LeaseWasLost: self.lease_lost,
            NoHandler: self.no_handler,
            LoopBlocked: self.blocked,
            BrokerFailed: self.broker_failed,
            BrokerRecovered: self.recovered,
        }

    @property
    def wants(self) -> Collection[type]:
        """Return the kinds of event that have a signal; calls and enqueues have none."""
        return {TasksClaimed, TasksSettled, *self._whole}

    def __call__(self, event: Event) -> None:
        """Give the signal."""
        self.events.append(event)
        match event:
            case TasksClaimed():
                for claim in event.claims:
                    self.claimed.give(claim)
            case TasksSettled():
                for verdict, answer in zip(event.verdicts, event.answers, strict=True):
                    self.settled.give(Settlement(verdict, answer))
            case _:
                self._whole[type(event)].give(event)

    def story(self) -> str:
        """Return what has happened so far, in a few words."""
        told = Counter(_words(event) for event in tuple(self.events))
        return ", ".join(f"{what} ×{n}" if n > 1 else what for what, n in told.items()) or "nothing"


def _words(event: Event) -> str:
    """Return an event in a few words."""
    words = _WORDS.get(type(event))
    return f"{type(event).__name__}({'' if words is None else words(event)})"


def _settled_words(event: TasksSettled) -> str:
    pairs = zip(event.verdicts, event.answers, strict=True)
    return ", ".join(f"{verdict.lease.id}: {answer}" for verdict, answer in pairs)


def _task(claim: Claim) -> str:
    return f"{claim.task.name} {claim.task.id}"


def _wake(loop: asyncio.AbstractEventLoop, came: asyncio.Event) -> None:
    # a loop that was closed has nobody left to wake
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(came.set)


_WORDS: Final[Mapping[type, Callable[[Any], str]]] = {
    TaskStarted: lambda event: _task(event.claim),
    LeaseWasLost: lambda event: _task(event.claim),
    NoHandler: lambda event: _task(event.claim),
    TaskFinished: lambda event: f"{_task(event.claim)}: {event.outcome}",
    TasksClaimed: lambda event: ", ".join(map(_task, event.claims)),
    TasksSettled: _settled_words,
    TasksAggregated: lambda event: f"{len(event.members)} of {event.group}: {event.task.name}",
    AggregationFailed: lambda event: f"{event.group.name}: {event.error!r}",
    NoAggregator: lambda event: event.group.name,
    Operated: lambda event: event.action,
    PeriodicMissed: lambda event: f"{event.ticks} of {event.entry.id}",
    PeriodicTicked: lambda event: ", ".join(task.id for task in event.tasks),
    PeriodicFailed: lambda event: f"{event.name}: {event.error!r}",
    BrokerFailed: lambda event: f"{event.call}: {event.error!r}",
    WorkerFailed: lambda event: repr(event.error),
}
"""What a story says of an event, by its type; nothing of others."""
