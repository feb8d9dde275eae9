"""Brokers that break a promise of `Recording`, each in one way."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.queue import Queue
from qcore.domain.answers import LeaseLost, QueueNotEmpty, QueueRemoved, Restoration, Settled
from qcore.domain.histogram import Histogram
from qcore.domain.moments import Moment
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import ENDED, State
from qcore.domain.statistics import OTHER, Outcome, Resolution, Statistics, StatisticsRow, tallied
from qcore.domain.task import Verdict
from qcore.domain.transitions import Cancelled, Crashed, Released, Transition

Rows = list[StatisticsRow]


class Altered(MemoryBroker):
    """Tells something else than what was counted."""

    def altered(self, rows: Rows) -> Rows:
        raise NotImplementedError

    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        rows = await super().statistics(queues, since=since, until=until, resolution=resolution)
        return self.altered([*rows])


class CountsWhatIsLost(MemoryBroker):
    async def settle(
        self, verdicts: Sequence[Verdict], *, now: float
    ) -> Sequence[Settled | LeaseLost]:
        answers = await super().settle(verdicts, now=now)
        for verdict, answer in zip(verdicts, answers, strict=True):
            if isinstance(answer, LeaseLost):
                add(self._queue(verdict.lease.queue), "test:task", verdict, now)
        return answers


class CountsNothingOfAMixedBatch(MemoryBroker):
    """Gives up the statistics of a batch of which one lease is lost."""

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: float
    ) -> Sequence[Settled | LeaseLost]:
        before = {name: queue.statistics for name, queue in self._queues.items()}
        kept = {name: (await self._copy(name, now)) for name in before}
        answers = await super().settle(verdicts, now=now)
        if LeaseLost() in answers:
            for name, rows in kept.items():
                self._queues[name].statistics = type(before[name])()
                for row in rows:
                    add_row(self._queues[name], row)
        return answers

    async def _copy(self, queue: str, now: float) -> Sequence[StatisticsRow]:
        return await self.statistics(
            [queue], since=now - 3_600, until=now + 60, resolution=Resolution.MINUTE
        )


class CountsWhenItWasClaimed(MemoryBroker):
    async def settle(
        self, verdicts: Sequence[Verdict], *, now: float
    ) -> Sequence[Settled | LeaseLost]:
        return await super().settle(verdicts, now=min(now, verdicts[0].lease.until - 30.0))


class ForgetsTimes(MemoryBroker):
    async def settle(
        self, verdicts: Sequence[Verdict], *, now: float
    ) -> Sequence[Settled | LeaseLost]:
        bare = [Verdict(verdict.lease, verdict.outcome) for verdict in verdicts]
        return await super().settle(bare, now=now)


class SwapsTimes(Altered):
    def altered(self, rows: Rows) -> Rows:
        return [
            evolve(row, statistics=Statistics(it.counts, it.runs, it.waits))
            for row in rows
            for it in [row.statistics]
        ]


class NeedsTimes(MemoryBroker):
    async def settle(
        self, verdicts: Sequence[Verdict], *, now: float
    ) -> Sequence[Settled | LeaseLost]:
        timed = [
            verdict if verdict.ran is not None else evolve(verdict, waited=0.0, ran=0.0)
            for verdict in verdicts
        ]
        return await super().settle(timed, now=now)


class HasOneNameForAll(Altered):
    def altered(self, rows: Rows) -> Rows:
        return [evolve(row, name="test:task") for row in rows]


class CallsAllFailuresOne(Altered):
    def altered(self, rows: Rows) -> Rows:
        return [
            evolve(
                row,
                statistics=evolve(
                    row.statistics,
                    counts={
                        Outcome.RETRIED if each is Outcome.EXHAUSTED else each: n
                        for each, n in row.statistics.counts.items()
                    },
                ),
            )
            for row in rows
        ]


def noting(change: Callable[[Transition], Transition | None]) -> type[MemoryBroker]:
    """Return a broker that counts another event in the place of one, or none."""

    class Changed(Queue):
        def count_endings(self, now: float) -> None:
            self._endings = [
                (name, other, state, verdict)
                for name, event, state, verdict in self._endings
                if (other := change(event)) is not None
            ]
            super().count_endings(now)

    class Broker(MemoryBroker):
        def _queue(self, name: str) -> Queue:
            if name not in self._queues:
                self._queues[name] = Changed(name)
            return super()._queue(name)

    return Broker


CountsReleases = noting(lambda event: Cancelled() if isinstance(event, Released) else event)
ForgetsTheCancelled = noting(lambda event: None if isinstance(event, Cancelled) else event)
ForgetsCrashes = noting(lambda event: None if isinstance(event, Crashed) else event)
ForgetsTheExpired = noting(lambda event: None if type(event).__name__ == "Expired" else event)
CountsDeletions = noting(
    lambda event: Cancelled() if type(event).__name__ in {"Deleted", "Archived"} else event
)


class CountsWhatIsRestored(MemoryBroker):
    """Takes an ended task that is stored as it was for one that has ended now."""

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: float, over: str | None = None
    ) -> Sequence[Restoration]:
        answers = await super().restore(snapshots, now=now, over=over)
        for snapshot in snapshots:
            if snapshot.task.state in ENDED:
                name = snapshot.task.spec.name
                ended = tallied([(name, Cancelled(), State.DEAD, None)])
                self._queue(snapshot.queue).statistics.add(ended, now)
        return answers


class SeesNoLastCrash(Altered):
    def altered(self, rows: Rows) -> Rows:
        return [
            evolve(
                row,
                statistics=evolve(
                    row.statistics,
                    counts={
                        Outcome.CRASHED if each is Outcome.POISONED else each: n
                        for each, n in row.statistics.counts.items()
                    },
                ),
            )
            for row in rows
        ]


class HasNoBound(Altered):
    """Names beyond the bound have rows of their own."""

    def altered(self, rows: Rows) -> Rows:
        return [
            one
            for row in rows
            for one in (
                [evolve(row, name=f"{OTHER} {n}") for n in range(2)] if row.name == OTHER else [row]
            )
        ]


class LosesTheOthers(Altered):
    def altered(self, rows: Rows) -> Rows:
        return [row for row in rows if row.name != OTHER]


class KeepsStatisticsOfTheRemoved(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        kept = self._queues.get(queue)
        answer = await super().remove_queue(queue, now=now)
        if kept is not None:
            self._queue(queue).statistics = kept.statistics
        return answer


class TellsTheLatestFirst(Altered):
    def altered(self, rows: Rows) -> Rows:
        return rows[::-1]


class SortsTheQueues(Altered):
    def altered(self, rows: Rows) -> Rows:
        return sorted(rows, key=lambda row: row.queue)


class TellsOfQueuesWithTasksAlone(MemoryBroker):
    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        asked = sorted(await self.count()) if queues is None else queues
        return await super().statistics(asked, since=since, until=until, resolution=resolution)


class LeavesOutPeriodsThatHaveBegun(MemoryBroker):
    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        rows = await super().statistics(queues, since=since, until=until, resolution=resolution)
        return [row for row in rows if row.start >= since]


class ForgetsDaysWithTheirMinutes(MemoryBroker):
    async def statistics(
        self,
        queues: Sequence[str] | None,
        *,
        since: Moment,
        until: Moment,
        resolution: Resolution,
    ) -> Sequence[StatisticsRow]:
        rows = await super().statistics(
            queues, since=since, until=until, resolution=Resolution.MINUTE
        )
        return [evolve(row, start=resolution.start(row.start)) for row in rows]


class KeepsThemForEver(Altered):
    """Tells again what it has told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._told: Rows = []

    def altered(self, rows: Rows) -> Rows:
        self._told += [row for row in rows if row not in self._told]
        return [*self._told]


def add(queue: Queue, name: str, verdict: Verdict, now: float) -> None:
    """Count a verdict."""
    queue.statistics.add(tallied([(name, verdict.outcome, State.GONE, verdict)]), now)


def add_row(queue: Queue, row: StatisticsRow) -> None:
    """Count a row again, without its times."""
    assert row.statistics.waits == Histogram()
    queue.statistics.add({row.name: {"S": row.statistics.succeeded}}, row.start)
