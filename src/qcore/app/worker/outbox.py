"""Verdicts that wait to be written: settled in batches, and kept until the broker has them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from qcore.app.worker.instruments import Instruments
from qcore.app.worker.progress_writer import ProgressWriter
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.app.worker.run import Run
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.events import TasksSettled
from qcore.domain.lifecycle import Transition
from qcore.domain.moments import Moment
from qcore.domain.task import Verdict
from qcore.ports import Clock, Consumer

LARGEST_BATCH: Final = 1_000
"""Verdicts in one call of `settle`."""


class Outbox:
    """Hold verdicts until the broker has them.

    The heartbeat renews their leases all the while, so that a broker which is unavailable for a
    time loses no success.
    """

    def __init__(
        self,
        broker: Consumer,
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
        progress_writer: ProgressWriter,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._progress_writer = progress_writer
        self._waiting: deque[tuple[Run, Verdict]] = deque()
        self._sending: list[tuple[Run, Verdict]] = []
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.give_up_at: Moment | None = None
        """When a worker that shuts down stops repeating `settle`; None while it runs."""

    def put(self, run: Run, verdict: Transition) -> None:
        """Take the verdict on a run."""
        self._waiting.append((run, Verdict(run.claim.lease, verdict)))
        if len(self._waiting) == 1:
            self._filled.set()
            self._emptied.clear()

    def runs(self) -> list[Run]:
        """Return the runs whose verdicts are not written yet. Thread-safe."""
        return [run for run, _ in (*tuple(self._waiting), *self._sending)]

    async def serve(self) -> None:
        """Write verdicts as they come, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                await self._send()
            self._emptied.set()

    @property
    def is_empty(self) -> bool:
        """Whether every verdict is written, or given up."""
        return self._emptied.is_set()

    async def emptied(self) -> None:
        """Wait until every verdict is written, or given up."""
        await self._emptied.wait()

    async def _send(self) -> None:
        size = min(LARGEST_BATCH, len(self._waiting))
        self._sending = [self._waiting.popleft() for _ in range(size)]
        verdicts = [verdict for _, verdict in self._sending]
        if self._progress_writer.has_any:
            await self._progress_writer.flush(verdict.lease for verdict in verdicts)
        try:
            answers = await self._retrying.call(
                "settle",
                lambda: self._broker.settle(verdicts, now=self._clock.now()),
                give_up_at=self._give_up_at,
            )
        except GaveUp:
            # their leases run out, and other workers run the tasks again: at least once
            answers = [LeaseLost()] * size
        self._sending = []
        self._report(verdicts, answers)

    def _give_up_at(self) -> Moment:
        return float("inf") if self.give_up_at is None else self.give_up_at

    def _report(self, verdicts: Sequence[Verdict], answers: Sequence[Settled | LeaseLost]) -> None:
        if self._emit.wants(TasksSettled):
            self._emit(TasksSettled(verdicts, answers))
