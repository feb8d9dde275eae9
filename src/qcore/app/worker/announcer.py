"""Announce a worker in the broker, so that whoever operates it sees what it does, and whether."""

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from heapq import nsmallest
from importlib.metadata import PackageNotFoundError, version
from socket import gethostname
from threading import Thread
from typing import Final
from uuid import uuid4

from attrs import evolve

from qcore.app.client.inline import run_inline
from qcore.app.worker.environment import WorkerEnvironment
from qcore.app.worker.run import Run
from qcore.domain.events import BrokerFailed
from qcore.domain.moments import Moment
from qcore.domain.text import escaped
from qcore.domain.workers import MISSED, MOST_RUNS, RunningTask, WorkerInfo
from qcore.ports import WorkerRegistry, start_upkeep

LAST_CALL: Final = 1.0
"""Seconds, of real time, that a call has left once the worker has ended; then it is given up."""


class Announcer:
    """Say in the broker what a worker is doing, every `announce_every` seconds.

    By a thread of the clock over `blocking`, a broker that blocks: a worker whose event loop is
    blocked is announced as such, by how late its loop is. One that is killed or frozen announces
    nothing, and expires. Not in the heartbeat's thread: a call that hangs must not keep leases from
    being renewed. Failed calls are reported once until one succeeds; what fails for an outage fails
    other calls too, which tell more.
    """

    def __init__(
        self,
        broker: WorkerRegistry,
        blocking: WorkerRegistry,
        environment: WorkerEnvironment,
        *,
        running: Collection[Run],
        last_claim: Callable[[], Moment | None],
        loop_lag: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._blocking = blocking
        self._every = environment.settings.announce_every
        self._clock = environment.clock
        self._control = environment.control
        self._emit = environment.emit
        self._running = running
        self._last_claim = last_claim
        self._loop_lag = loop_lag
        self._info = _first_info(environment)
        self._stop_clock: Callable[[], None] = _do_nothing
        self._is_calling = False
        self._has_failed = False

    async def start(self) -> None:
        """Announce the worker for the first time, and from then on by a thread."""
        try:
            await self._broker.announce(self.snapshot())
        except Exception as error:  # noqa: BLE001  (it can work all the same)
            self._report(error)
        self._stop_clock = start_upkeep(self._clock, self._every, self.announce)

    def announce(self) -> None:
        """Announce what the worker does now."""
        self._is_calling = True
        try:
            run_inline(self._blocking.announce(self.snapshot()))
        except Exception as error:  # noqa: BLE001  (the next announcement comes all the same)
            self._report(error)
        else:
            self._has_failed = False
        finally:
            self._is_calling = False

    async def stop(self) -> None:
        """Announce nothing more, and withdraw the worker; in an outage it expires instead."""
        if self._is_calling:
            # as in an outage: nobody waits for the end of a call that hangs
            stopper = Thread(target=self._stop_clock, name="qcore-announcer", daemon=True)
            stopper.start()
            stopper.join(LAST_CALL)
        else:
            self._stop_clock()
        # one that cannot be withdrawn expires
        with suppress(Exception):
            async with asyncio.timeout(LAST_CALL):
                await self._broker.withdraw(self._info.id)

    def snapshot(self) -> WorkerInfo:
        """Return what the worker does now. Thread-safe."""
        now, reading = self._clock.now(), self._clock.monotonic()
        # a copy in one step, as the loop goes on meanwhile
        runs = tuple(self._running)
        return evolve(
            self._info,
            seen=now,
            expires=now + MISSED * self._every,
            in_hand=len(runs),
            running=tuple(_running_task(run, now, reading) for run in _longest(runs)),
            loop_lag=self._loop_lag(),
            last_claim=self._last_claim(),
            is_paused=self._control.is_paused,
            is_stopping=self._control.stopping.is_set(),
        )

    def _report(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._emit(BrokerFailed("announce", error, self._every))


def _first_info(environment: WorkerEnvironment) -> WorkerInfo:
    settings, router, now = environment.settings, environment.router, environment.clock.now()
    return WorkerInfo(
        id=uuid4().hex,
        name=settings.name,
        host=escaped(gethostname()),
        pid=os.getpid(),
        version=_version(),
        queues=environment.weights.weights,
        is_strict=settings.strict,
        handlers=tuple(handler.name for handler in router.handlers()),
        concurrency=settings.concurrency,
        started=now,
        seen=now,
        expires=now,
        app_version=settings.app_version,
    )


def _longest(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs that have lasted longest, those first that have."""
    return nsmallest(
        MOST_RUNS, runs, key=lambda run: float("inf") if run.began is None else run.began
    )


def _running_task(run: Run, now: Moment, reading: float) -> RunningTask:
    since = now if run.began is None else now - (reading - run.began)
    task = run.claim.task
    return RunningTask(run.claim.lease.queue, task.id, task.name, since)


@cache
def _version() -> str:
    try:
        # reads a file, which takes longer than to run a few tasks
        return version("qcore-queue")
    except PackageNotFoundError:
        # a source tree that was not installed
        return "0"


def _do_nothing() -> None:
    pass
