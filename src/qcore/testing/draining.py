"""`drain` and `drain_sync`: run all tasks, also those due later, in virtual time."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Final, Protocol, Unpack

from qcore.app.client.inspector import Inspector
from qcore.app.tasks.ends import LOOK
from qcore.app.worker.periodic.alone import Scheduler
from qcore.app.worker.settings import WorkerOptions
from qcore.app.worker.worker import Worker
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.ports import Broker, Clock, Counts, periodic_of
from qcore.testing.clock import ManualClock

ENOUGH: Final = 10_000
STUCK: Final = 0.05
"""Real seconds without any news after which a worker must be waiting for the clock."""
WAITING: Final = (State.SCHEDULED, State.RETRY)


class Wired(Protocol):
    """Whatever has a broker, a clock and workers: a `Qcore`."""

    broker: Broker
    clock: Clock

    @property
    def inspector(self) -> Inspector:
        """Return its inspector."""
        ...

    def worker(self, **settings: Unpack[WorkerOptions]) -> Worker:
        """Return a worker of it."""
        ...

    def scheduler(self, queues: Sequence[str] | None = None) -> Scheduler:
        """Return a scheduler of it."""
        ...


async def drain(
    q: Wired, *, jump: bool = True, until: Moment | None = None, most: int = ENOUGH
) -> int:
    """Run tasks with a real worker until nothing is left to run; return how many runs it took.

    The clock of `q` must be a `ManualClock`: between the runs it jumps to the next moment at which
    a task is due or a group is ready to be aggregated, never past `until`; with `jump=False` only
    what is due already is run. Periodic tasks are made at their ticks on the way; only with `until`
    it jumps to these too, as they have no end, and only then looks for what has ended without a
    verdict, for end hooks. A group whose aggregator fails is left as it is.
    Raises AssertionError after `most` runs, and, without `until`, when a task was put back because
    no handler here takes it.
    """
    clock = q.clock
    if jump and not isinstance(clock, ManualClock):
        raise InvalidOption(f"the clock is {clock!r}: drain(q) needs Qcore(…, clock=ManualClock())")
    last = math.inf if until is None else until
    last = last if jump else clock.now()
    with closing(_Ticks(q, looks=until is not None)) as ticks:
        return await _drain(q, ticks, last, until=until, most=most)


async def _drain(
    q: Wired, ticks: "_Ticks", last: Moment, *, until: Moment | None, most: int
) -> int:
    clock, runs = q.clock, 0
    put_back_before = await _put_back(q)
    while runs < most:
        await ticks.make()
        executed, ready = await _burst(q, await q.inspector.counts(), most - runs)
        runs += executed
        if until is None:
            _refuse(await _put_back(q), but=put_back_before)
        # again, as a handler may have been the first to use a queue
        counts = await q.inspector.counts()
        if executed and any(State.PENDING in states for states in counts.values()):
            continue
        # what is pending still is kept by a limit: it has its moment, or waits for ever
        due = _earlier(await q.broker.next_due(list(counts)), ready)
        if due is not None or until is not None:
            # periodic tasks have no end: without a moment to stop at, nobody waits for them alone
            due = _earlier(due, ticks.next)
        if due is None or not isinstance(clock, ManualClock) or due > last:
            return runs
        clock.advance_to(max(due, clock.now()))
    raise AssertionError(f"there is still something to run after {runs} runs: is it endless?")


def drain_sync(
    q: Wired, *, jump: bool = True, until: Moment | None = None, most: int = ENOUGH
) -> int:
    """Do what `drain` does, for tests without an event loop."""
    if asyncio._get_running_loop() is not None:  # noqa: SLF001  (it is for those who run loops)
        raise InvalidOption(
            "drain_sync is called where an event loop runs, as in a notebook or a coroutine: await "
            "drain(q) instead"
        )
    return asyncio.run(drain(q, jump=jump, until=until, most=most))


async def _burst(q: Wired, counts: Counts, most: int) -> tuple[int, Moment | None]:
    """Run what is due; return how many runs that took, and when the next group is ready."""
    if not counts:
        return 0, None
    worker = q.worker(queues=sorted(counts), burst=True, max_tasks=most, scheduler=False)
    with _jumping(q.clock):
        await worker.run()
    return worker.executed, worker.next_ready


def _jumping(clock: Clock) -> AbstractContextManager[object]:
    """Let time pass for whoever waits before it asks a broker again that has failed."""
    if isinstance(clock, ManualClock):
        return clock.autojump(threshold=STUCK)
    return nullcontext()


class _Ticks:
    """The ticks of periodic tasks, where the broker has any."""

    def __init__(self, q: Wired, *, looks: bool) -> None:
        self._scheduler = None if periodic_of(q.broker) is None else q.scheduler()
        if self._scheduler is not None and not looks:
            # every 15 seconds: on the way to the retries of three weeks there would be no end of it
            self._scheduler.leave_out(LOOK)
        self._clock = q.clock

    @property
    def next(self) -> Moment | None:
        """When the next one is due."""
        return None if self._scheduler is None else self._scheduler.next_tick

    async def make(self) -> None:
        """Make those that are due."""
        if self._scheduler is not None:
            with _jumping(self._clock):
                await self._scheduler.once()

    def close(self) -> None:
        """Let go of what it has made."""
        if self._scheduler is not None:
            self._scheduler.close()


def _earlier(one: Moment | None, other: Moment | None) -> Moment | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _refuse(
    put_back: dict[tuple[str, str, int], str], *, but: dict[tuple[str, str, int], str]
) -> None:
    for key in put_back.keys() - but.keys():
        raise AssertionError(
            f"no handler is registered for {put_back[key]!r}, or it does not know an argument or "
            "the format of the task"
        )


async def _put_back(q: Wired) -> dict[tuple[str, str, int], str]:
    """Return the names of the tasks that wait because no handler took them, by id and attempt."""
    names: dict[tuple[str, str, int], str] = {}
    for queue, states in (await q.inspector.counts()).items():
        if State.SCHEDULED not in states:
            continue
        page = await q.inspector.browse(queue, State.SCHEDULED)
        for task in page.tasks:
            if task.unhandled_since is not None:
                names[queue, task.id, task.attempts] = task.name
    return names
