"""Verdicts that wait to be written: settled in batches, and kept until the broker has them."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Final

from qcore.app.client.division import divided
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.progress_writer import ProgressWriter
from qcore.app.worker.retrying import GaveUp, Retrying
from qcore.app.worker.run import Run
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.errors import BrokerRefused, InvalidTask
from qcore.domain.events import BrokerFailed, TasksSettled
from qcore.domain.task import Verdict
from qcore.domain.text import storable
from qcore.domain.transitions import Rejected, Succeeded, Transition
from qcore.ports import Clock, Consumer

LARGEST_BATCH: Final = 1_000
"""Verdicts in one call of `settle`."""
REPEAT: Final = 2
"""Times that a verdict which was refused alone is tried again before its task is dead for it."""


class Outbox:
    """Hold verdicts until the broker has them.

    A verdict that the broker refuses for what is in it, such as a result that is too large, is
    found by dividing its batch, and its task is dead instead; the others are settled without it.

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
        *,
        worker: str,
        version: str | None,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._monotonic = clock.monotonic
        self._retrying = retrying
        self._emit = emit
        self._progress_writer = progress_writer
        self._worker = worker
        self._version = version
        self._waiting: list[tuple[Run, Verdict]] = []
        self._sending: list[tuple[Run, Verdict]] = []
        self._refused: set[tuple[str, int]] = set()
        """Queue and token of the leases whose verdicts were refused, and replaced."""
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.give_up_at: float | None = None
        """When a worker that shuts down stops repeating `settle`, by the monotonic clock; None
        while it runs."""

    def put(self, run: Run, outcome: Transition) -> float:
        """Take the verdict on a run, which has ended now; return for how many seconds it ran."""
        waiting, claim, began = self._waiting, run.claim, run.began
        if not waiting:
            self._filled.set()
            self._emptied.clear()
        if began is None:
            # its handler was not called
            waiting.append((run, Verdict(claim.lease, outcome)))
            return 0.0
        ran = self._monotonic() - began
        waiting.append((run, Verdict(claim.lease, outcome, run.started - claim.task.due, ran)))
        return ran

    def runs(self) -> list[Run]:
        """Return the runs whose verdicts are not written yet. Thread-safe."""
        return [run for run, _ in (*tuple(self._waiting), *self._sending)]

    async def serve(self) -> None:
        """Write verdicts as they come, until cancelled; another call may write what is left."""
        if self._waiting or self._sending:
            self._filled.set()
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting or self._sending:
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
        try:
            await self._retrying.call("settle", self._try_to_send, give_up_at=self._give_up_at)
        except GaveUp:
            # their leases run out, and other workers run the tasks again: at least once
            given_up, self._sending = self._sending, []
            verdicts = [verdict for _, verdict in given_up]
            self._report(given_up, verdicts, [LeaseLost()] * len(given_up))

    async def _try_to_send(self) -> None:
        """Write what waits, in one batch; raise the error of an outage, and keep what it kept."""
        size = LARGEST_BATCH - len(self._sending)
        self._sending += islice(self._waiting, size)
        del self._waiting[:size]
        verdicts = [verdict for _, verdict in self._sending]
        if self._progress_writer.has_any:
            await self._progress_writer.flush(verdict.lease for verdict in verdicts)
        try:
            answers = await self._broker.settle(verdicts, now=self._clock.now())
        except Exception as error:  # noqa: BLE001  (whatever a broker raises)
            self._keep_unsettled(
                await divided(
                    self._settle,
                    verdicts,
                    error,
                    queue_of=lambda verdict: verdict.lease.queue,
                    repeat=REPEAT,
                )
            )
        else:
            settled, self._sending = self._sending, []
            self._refused.clear()
            self._report(settled, verdicts, answers)

    # --- refusals ------------------------------------------------------------------------------

    async def _settle(self, verdicts: Sequence[Verdict]) -> Sequence[Settled | LeaseLost]:
        return await self._broker.settle(verdicts, now=self._clock.now())

    def _keep_unsettled(self, answers: Sequence[Settled | LeaseLost | Exception]) -> None:
        """Keep what was not written, report what was, and raise the error of an outage."""
        kept: list[tuple[Run, Verdict]] = []
        settled: list[tuple[Run, Verdict]] = []
        told: list[Settled | LeaseLost] = []
        outage: Exception | None = None
        for (run, verdict), answer in zip(self._sending, answers, strict=True):
            if not isinstance(answer, Exception):
                settled.append((run, verdict))
                told.append(answer)
            elif not isinstance(answer, InvalidTask):
                outage = answer
                kept.append((run, verdict))
            elif (replaced := self._replaced(verdict, answer)) is not None:
                kept.append((run, replaced))
            else:
                settled.append((run, verdict))
                told.append(LeaseLost())
        self._sending = kept
        self._refused &= {(verdict.lease.queue, verdict.lease.token) for _, verdict in kept}
        self._report(settled, [verdict for _, verdict in settled], told)
        if outage is not None:
            raise outage

    def _replaced(self, verdict: Verdict, error: InvalidTask) -> Verdict | None:
        """Return the verdict that a task is dead whose own verdict the broker refuses.

        None if even that is refused: the lease runs out, and the task is dead after `max_crashes`.
        """
        lease = verdict.lease
        what = f"the verdict on {lease.id!r} in {lease.queue!r} is refused: {error}"
        self._emit(BrokerFailed("settle", BrokerRefused(what), 0.0))
        if (lease.queue, lease.token) in self._refused:
            return None
        self._refused.add((lease.queue, lease.token))
        reason = storable(f"its {_refused_part(verdict.outcome)}: {error}")
        rejected = Rejected(reason, worker=self._worker, version=self._version)
        return Verdict(lease, rejected, verdict.waited, verdict.ran)

    def _give_up_at(self) -> float:
        return float("inf") if self.give_up_at is None else self.give_up_at

    def _report(
        self,
        settled: Sequence[tuple[Run, Verdict]],
        verdicts: Sequence[Verdict],
        answers: Sequence[Settled | LeaseLost],
    ) -> None:
        if self._emit.wants(TasksSettled):
            self._emit(TasksSettled(verdicts, answers, [run.claim for run, _ in settled]))


def _refused_part(outcome: Transition) -> str:
    """Return what of a verdict cannot be kept, for an error message."""
    if not isinstance(outcome, Succeeded):
        return "error cannot be kept"
    following = sum(len(task.payload) + len(str(task.headers)) for task in outcome.then)
    if outcome.result is None or len(outcome.result) < following:
        return "follow-up tasks cannot be kept"
    return f"result cannot be kept: its {len(outcome.result):,} bytes are refused"
