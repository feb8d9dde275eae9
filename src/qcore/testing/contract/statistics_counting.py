"""Cases of `Recording`: what ended is counted, once."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.histogram import Histogram
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.statistics import (
    Outcome,
    Resolution,
    Statistics,
    StatisticsRow,
    merged,
)
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_stored_task, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import a_claimed, end, execute_on, put, sweep_all, take, take_one
from qcore.testing.optional_ports import recording

HOUR: Final = 3_600.0
DAY: Final = Resolution.DAY.start(NOW) + Resolution.DAY.value
"""The beginning of a day."""
COUNTED: Final[Sequence[tuple[Transition, Outcome]]] = (
    (Succeeded(), Outcome.SUCCEEDED),
    (Succeeded(b"42", "text/plain"), Outcome.SUCCEEDED),
    (Failed("no", again_at=NOW + 9), Outcome.RETRIED),
    (Failed("no", again_at=NOW + 9, burns=False), Outcome.RETRIED),
    (Exhausted("no"), Outcome.EXHAUSTED),
    (Rejected("no"), Outcome.REJECTED),
    (Snoozed(NOW + 9), Outcome.SNOOZED),
    (Revoked(), Outcome.REVOKED),
    (Cancelled(), Outcome.CANCELLED),
)


async def rows_of(
    broker: Broker,
    *queues: str,
    since: Moment = NOW - HOUR,
    until: Moment = NOW + HOUR,
    resolution: Resolution = Resolution.MINUTE,
) -> Sequence[StatisticsRow]:
    """Return what ended in the default queue, or in these."""
    return await recording(broker).statistics(
        queues or ("default",), since=since, until=until, resolution=resolution
    )


async def total_of(broker: Broker, *, until: Moment = NOW + HOUR) -> Statistics:
    """Return what ended in the default queue; fail unless it is the same in each resolution."""
    minutes, hours, days = [
        merged(
            row.statistics
            for row in await rows_of(broker, since=NOW - HOUR, until=until, resolution=resolution)
        )
        for resolution in Resolution
    ]
    assert minutes == hours == days
    return minutes


async def finish(
    broker: Broker,
    *tasks: NewTask,
    now: Moment = NOW,
    waited: float | None = None,
    ran: float | None = None,
) -> None:
    """Enqueue, claim and complete tasks."""
    await put(broker, *tasks, now=now)
    claims = await take(broker, len(tasks), *{task.queue for task in tasks}, now=now)
    assert len(claims) == len(tasks)
    verdicts = [Verdict(claim.lease, Succeeded(), waited, ran) for claim in claims]
    answers = await broker.settle(verdicts, now=now)
    assert {type(answer) for answer in answers} == {Settled}


class CountingCases(Cases):
    """What counts in statistics, and what does not."""

    # - `settle` counts each verdict that it answers with `Settled`, at its `now`, by the name of
    #   its task, in the same step. One that is `LeaseLost` counts nothing: a verdict that is given
    #   twice counts once.

    async def test_each_verdict_is_counted_by_its_outcome(self, broker: Broker) -> None:
        """Each kind under its own name, one by one and all in one batch."""
        for n, (outcome, _) in enumerate(COUNTED):
            task = a_task(name=f"alone:{n}", queue="alone")
            await end(broker, await a_claimed(broker, task), outcome)
        await put(broker, *(a_task(name=f"batch:{n}", queue="batch") for n in range(len(COUNTED))))
        claims = await take(broker, 100, "batch")
        verdicts = [
            Verdict(claim.lease, outcome)
            for claim, (outcome, _) in zip(claims, COUNTED, strict=True)
        ]
        await broker.settle(verdicts, now=NOW)
        for queue in ("alone", "batch"):
            found = {row.name: row.statistics.counts for row in await rows_of(broker, queue)}
            assert found == {f"{queue}:{n}": {outcome: 1} for n, (_, outcome) in enumerate(COUNTED)}

    async def test_a_verdict_is_counted_when_it_is_settled(self, broker: Broker) -> None:
        """In the minute of that moment, not in that of the claim."""
        claim = await a_claimed(broker)
        await end(broker, claim, Succeeded(), now=NOW + 120)
        [row] = await rows_of(broker)
        assert row.start == Resolution.MINUTE.start(NOW + 120)

    async def test_a_verdict_that_is_given_twice_counts_once(self, broker: Broker) -> None:
        """Whether again in the same call or in a later one, and with whatever outcome."""
        claim = await a_claimed(broker)
        verdict = Verdict(claim.lease, Failed("no", again_at=NOW + 9), 1.0, 1.0)
        again = Verdict(claim.lease, Succeeded(), 1.0, 1.0)
        await broker.settle([verdict, verdict, again], now=NOW)
        assert list(await broker.settle([again, verdict], now=NOW)) == [LeaseLost()] * 2
        assert await total_of(broker) == Statistics(
            {Outcome.RETRIED: 1}, Histogram.of([1.0]), Histogram.of([1.0])
        )

    async def test_verdicts_whose_lease_is_lost_count_nothing(self, broker: Broker) -> None:
        """In a batch with others, which count with their own times."""
        await put(broker, *some_tasks(7))
        claims = await take(broker, 7)
        leases = [
            claim.lease if n % 3 else Lease("default", claim.lease.id, 7, NOW)
            for n, claim in enumerate(claims)
        ]
        verdicts = [Verdict(lease, Succeeded(), 4.0**n, 9.0**n) for n, lease in enumerate(leases)]
        answers = await broker.settle(verdicts, now=NOW)
        assert [answer == LeaseLost() for answer in answers] == [n % 3 == 0 for n in range(7)]
        settled = [n for n in range(7) if n % 3]
        assert await total_of(broker) == Statistics(
            {Outcome.SUCCEEDED: len(settled)},
            Histogram.of([4.0**n for n in settled]),
            Histogram.of([9.0**n for n in settled]),
        )

    async def test_of_many_who_settle_the_same_one_counts(self, broker: Broker) -> None:
        """Concurrently, each of them the same two leases."""
        await put(broker, *some_tasks(2))
        claims = await take(broker, 2)
        verdicts = [Verdict(claim.lease, Succeeded(), 1.0, 1.0) for claim in claims]
        await self.together([partial(broker.settle, verdicts, now=NOW) for _ in range(5)])
        assert (await total_of(broker)).succeeded == 2

    async def test_a_verdict_that_has_follow_ups_counts_once(self, broker: Broker) -> None:
        """What follows counts when it ends itself."""
        claim = await a_claimed(broker)
        outcome = Succeeded(then=(a_task(name="second"),))
        for _ in range(2):
            await broker.settle([Verdict(claim.lease, outcome, 1.0, 2.0)], now=NOW)
        [row] = await rows_of(broker)
        assert row.name == claim.task.name
        assert row.statistics.counts == {Outcome.SUCCEEDED: 1}

    # - What a verdict says in `waited` and `ran` goes into histograms; one that does not say it is
    #   counted all the same.

    async def test_times_go_into_histograms(self, broker: Broker) -> None:
        """Of each name its own, whatever its outcomes; from nothing to beyond all bounds."""
        waits, runs = [0.0, 0.0005, 0.001, 0.7, 3.0, 1e9], [1e9, 60.0, 61.0, 0.0014, 0.0015, -1.0]
        await put(broker, *(a_task(name=f"n{n % 2}") for n in range(6)))
        claims = await take(broker, 6)
        outcomes: list[Transition] = [Succeeded(), Failed("no", again_at=NOW + 9), Rejected("no")]
        await broker.settle(
            [
                Verdict(claim.lease, outcomes[n // 2], waits[n], runs[n])
                for n, claim in enumerate(claims)
            ],
            now=NOW,
        )
        found = {row.name: row.statistics for row in await rows_of(broker)}
        for n in range(2):
            assert found[f"n{n}"].waits == Histogram.of(waits[n::2])
            assert found[f"n{n}"].runs == Histogram.of(runs[n::2])

    async def test_times_add_up_over_calls(self, broker: Broker) -> None:
        """In the same minute and in others."""
        for n in range(4):
            await finish(broker, *some_tasks(2), now=NOW + 40 * n, waited=0.5, ran=2.0**n)
        total = await total_of(broker)
        assert total.waits == Histogram.of([0.5] * 8)
        assert total.runs == Histogram.of([2.0**n for n in range(4) for _ in range(2)])

    async def test_a_verdict_without_times_is_counted(self, broker: Broker) -> None:
        """Alone, and beside others that have them."""
        await finish(broker, a_task())
        assert await total_of(broker) == Statistics({Outcome.SUCCEEDED: 1})
        await put(broker, *some_tasks(2))
        claims = await take(broker, 2)
        verdicts = [
            Verdict(claims[0].lease, Succeeded(), 1.0, 2.0),
            Verdict(claims[1].lease, Succeeded()),
        ]
        await broker.settle(verdicts, now=NOW)
        total = await total_of(broker)
        assert (total.succeeded, total.waits.number, total.runs.number) == (3, 1, 1)

    # - `Released` and `Snoozed(unhandled=True)` count nothing, as no handler has run to its end.

    async def test_what_is_given_back_counts_nothing(self, broker: Broker) -> None:
        """Nor what no worker has a handler for; alone, and beside what counts."""
        outcomes: list[Transition] = [
            Released(),
            Snoozed(NOW + 9, unhandled=True),
            Snoozed(NOW + 9),
        ]
        for outcome in outcomes[:2]:
            await end(broker, await a_claimed(broker, a_task(queue=f"{outcome}"[:8])), outcome)
            assert list(await rows_of(broker, f"{outcome}"[:8])) == []
        await put(broker, *some_tasks(3))
        claims = await take(broker, 3)
        pairs = zip(claims, outcomes, strict=True)
        await broker.settle([Verdict(claim.lease, outcome) for claim, outcome in pairs], now=NOW)
        assert await total_of(broker) == Statistics({Outcome.SNOOZED: 1})

    # - `sweep` counts each crash in the step in which it takes the task back, as the task's last
    #   one where it is dead by it.

    async def test_crashes_are_counted(self, broker: Broker) -> None:
        """The last one of a task apart from the others, none twice, and all without times."""
        await put(broker, a_task(max_crashes=2))
        for n in range(2):
            assert await take(broker, 1, now=NOW + n * LEASE)
            for _ in range(2):
                await sweep_all(broker, now=NOW + (n + 1) * LEASE)
        total = await total_of(broker)
        assert total == Statistics({Outcome.CRASHED: 1, Outcome.POISONED: 1})
        assert (total.processed, total.crashed, total.dead, total.failed) == (2, 2, 1, 0)

    # - `execute` counts each task that it has `Cancelled`, whatever state it was in.

    async def test_what_is_cancelled_is_counted(self, broker: Broker) -> None:
        """What runs, waits and is scheduled, each once; its worker's verdict counts nothing."""
        claim = await a_claimed(broker)
        tasks = [a_task(), a_task(due=NOW + 9)]
        await put(broker, *tasks)
        ids = [claim.task.id, *(task.id for task in tasks), "nobody", tasks[0].id]
        for _ in range(2):
            await broker.execute("default", ids, Cancelled(), now=NOW)
        assert await end(broker, claim, Succeeded()) == LeaseLost()
        assert await total_of(broker) == Statistics({Outcome.CANCELLED: 3})

    async def test_what_else_an_operator_does_counts_nothing(self, broker: Broker) -> None:
        """A task that is archived, run now or deleted has not ended by a run."""
        task = a_task()
        await put(broker, task)
        for order in (Archived(), RunNow(), Deleted()):
            await execute_on(broker, task, order)
        assert list(await rows_of(broker)) == []

    # - `restore` counts nothing: what it stores was counted where it was.

    async def test_what_is_restored_is_not_counted(self, broker: Broker) -> None:
        """Whatever it has been; its next end is counted."""
        task = a_stored_task(attempts=3, failures=2, crashes=1)
        dead = a_stored_task(state=State.DEAD, finished=NOW, attempts=1)
        await broker.restore([TaskSnapshot(task), TaskSnapshot(dead)], now=NOW)
        assert list(await rows_of(broker)) == []
        await end(broker, await take_one(broker), Succeeded())
        (row,) = await rows_of(broker)
        assert row.statistics.counts == {Outcome.SUCCEEDED: 1}

    # - What passes its `expires` is counted once, whether `claim` or `sweep` has found it.

    async def test_what_expired_is_counted(self, broker: Broker) -> None:
        """By its name, in the minute in which it was found."""
        await put(broker, *some_tasks(3, name="early", expires=NOW + 9), a_task(expires=NOW + 9))
        assert list(await take(broker, 2, now=NOW + 9)) == []
        await put(broker, *some_tasks(2, name="late", expires=NOW + 9))
        for _ in range(2):
            await sweep_all(broker, now=NOW + 120)
        rows = await rows_of(broker)
        found = merged(row.statistics for row in rows)
        assert found == Statistics({Outcome.EXPIRED: 6})
        assert {row.name: row.start for row in rows if row.name == "late"} == {
            "late": Resolution.MINUTE.start(NOW + 120)
        }
