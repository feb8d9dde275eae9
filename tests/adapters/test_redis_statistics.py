"""How Redis keeps statistics: in hashes that go by themselves, with few commands for a batch."""

from itertools import product

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import SETTLE_WITH_FOLLOWUPS, SWEEP, TRANSITION, Script
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.histogram import Histogram
from qcore.domain.states import State
from qcore.domain.statistics import OTHER, Outcome, Resolution, Statistics, merged
from qcore.domain.task import Verdict
from qcore.domain.transitions import Cancelled, Failed, Succeeded, Transition
from qcore.errors import BrokerUnusable
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import step
from qcore.testing.contract.steps import a_claimed, end, put, sweep_all, take
from tests.adapters.redis_kit import CutReplies, RedisCases, pauses
from tests.servers.redis import RedisServer

__all__ = ["pauses"]

PATIENCE = 30.0
MINUTE = f"qcore:{{default}}:minute:{Resolution.MINUTE.start(NOW)}"
HOUR = f"qcore:{{default}}:hour:{Resolution.HOUR.start(NOW)}"
DAY = f"qcore:{{default}}:day:{Resolution.DAY.start(NOW)}"


async def total_of(broker: RedisBroker) -> Statistics:
    """Return what has ended; fail unless minutes, hours and days agree."""
    minutes, hours, days = [
        merged(
            row.statistics
            for row in await broker.statistics(
                None, since=NOW - 60, until=NOW + 600, resolution=resolution
            )
        )
        for resolution in Resolution
    ]
    assert minutes == hours == days
    return minutes


class TestStatistics(RedisCases):
    """What is stored, and what that costs."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_the_past_goes_by_itself(self, broker: RedisBroker) -> None:
        """After three hours, two days or 90 days, from their ends; none is renewed."""
        for _ in range(2):
            await end(broker, await a_claimed(broker), Succeeded())
        for key, period in zip((MINUTE, HOUR, DAY), Resolution, strict=True):
            least = 1_000 * (period.kept + period)
            assert least <= self.server.cli("PTTL", key) <= least * 1.03
        self.server.cli("PEXPIRE", MINUTE, 5_000)
        await end(broker, await a_claimed(broker), Succeeded())
        assert self.server.cli("PTTL", MINUTE) <= 5_000

    async def test_a_batch_of_one_name_costs_a_handful(self, broker: RedisBroker) -> None:
        """A hundred tasks as few commands more as one, where they have taken the same time."""
        used: list[int] = []
        for number in (1, 100):
            await put(broker, *some_tasks(number))
            claims = await take(broker, number)
            verdicts = [Verdict(claim.lease, Succeeded(), 0.3, 2.0) for claim in claims]
            self.server.cli("CONFIG", "RESETSTAT")
            await broker.settle(verdicts, now=NOW)
            stats = self.server.cli("INFO", "commandstats")
            used += [stats[f"cmdstat_{each}"]["calls"] for each in ("evalsha", "hincrby")]
        assert used == [1, 3] * 2
        assert (await total_of(broker)).succeeded == 101

    async def test_a_key_that_is_somebody_else_s(self, broker: RedisBroker) -> None:
        """Nothing of it is touched, tasks go on without being counted, and who asks is told."""
        for key in (MINUTE, HOUR, DAY):
            self.server.cli("DEL", key)
            self.server.cli("SET", key, "data")
            assert await end(broker, await a_claimed(broker), Succeeded()) == Settled(State.GONE)
            await put(broker, a_task(expires=NOW + 1))
            assert await take(broker, now=NOW + 1) == []
            with pytest.raises(BrokerUnusable, match=f"foreign data.*{key}"):
                await total_of(broker)
            assert self.server.cli("GET", key) == "data"
            self.server.cli("DEL", key)

    async def test_many_periods_of_many_queues_are_read_in_few_calls(
        self, broker: RedisBroker
    ) -> None:
        """In the order of the queues, then of time; periods of two queues may share a call."""
        queues = ["b", "a", "c"]
        moments = (NOW, NOW + 70 * 60)
        for now in moments:
            for queue in ("a", "b"):
                claim = await a_claimed(broker, a_task(queue=queue))
                await end(broker, claim, Succeeded(), now=now)
        self.server.cli("CONFIG", "RESETSTAT")
        rows = await broker.statistics(
            queues, since=NOW - 9 * 60, until=NOW + 71 * 60, resolution=Resolution.MINUTE
        )
        starts = map(Resolution.MINUTE.start, moments)
        assert [(row.queue, row.start) for row in rows] == [*product(("b", "a"), starts)]
        assert self.server.cli("INFO", "commandstats")["cmdstat_evalsha"]["calls"] == 3

    async def test_names_in_the_place_of_numbers_are_read(self, broker: RedisBroker) -> None:
        """Before names were behind fields they had numbers; a period may have both."""
        for key in (MINUTE, HOUR, DAY):
            self.server.cli("HSET", key, "", 1, "#test:task", 1, "1S", 5, "1w3", 5, "0S", 2)
        verdict = Verdict((await a_claimed(broker)).lease, Succeeded(), 0.003, 1.0)
        assert await broker.settle([verdict], now=NOW) == [Settled(State.GONE)]
        rows = await broker.statistics(
            ["default"], since=NOW, until=NOW + 1, resolution=Resolution.DAY
        )
        assert [(row.name, row.statistics.succeeded) for row in rows] == [
            (OTHER, 2),
            ("test:task", 6),
        ]
        assert (await total_of(broker)).waits == Histogram({3: 5}) + Histogram.of([0.003])
        assert self.server.cli("HGET", MINUTE, "") == "1"

    @pytest.mark.parametrize(
        "edit",
        [
            ("S test:task", "many"),
            ("Sw20r20 test:task", "x"),
            ("", "many"),
            ("#test:task", "x"),
            ("w20 test:task", "-5"),
            ("zz", "1"),
        ],
    )
    async def test_an_edited_number_stops_nothing(
        self, broker: RedisBroker, edit: tuple[str, str]
    ) -> None:
        """Verdicts are written as ever, and what is a number yet is told."""
        await end(broker, await a_claimed(broker), Succeeded())
        self.server.cli("HSET", MINUTE, *edit)
        verdict = Verdict((await a_claimed(broker)).lease, Succeeded(), 1.0, 1.0)
        assert await broker.settle([verdict], now=NOW) == [Settled(State.GONE)]
        days = await broker.statistics(
            ["default"], since=NOW, until=NOW + 1, resolution=Resolution.DAY
        )
        assert merged(row.statistics for row in days).succeeded == 2
        await broker.statistics(["default"], since=NOW, until=NOW + 1, resolution=Resolution.MINUTE)

    async def test_a_batch_with_lost_leases_is_sent_twice(self, broker: RedisBroker) -> None:
        """What is added is the sum of all: so nothing is written where one of them is lost."""
        await put(broker, *some_tasks(600, retention=60))
        claims = await take(broker, 600)
        lost = [claim.task.id for claim in claims[::7]]
        async with self.opened() as operator:
            await operator.execute("default", lost, Cancelled(), now=NOW)
        self.server.cli("CONFIG", "RESETSTAT")
        verdicts = [Verdict(claim.lease, Succeeded(), 1.0, 1.0) for claim in claims]
        answers = await broker.settle(verdicts, now=NOW)
        assert [answer == LeaseLost() for answer in answers] == [n % 7 == 0 for n in range(600)]
        assert self.server.cli("INFO", "commandstats")["cmdstat_evalsha"]["calls"] == 6
        assert (await total_of(broker)).counts == {
            Outcome.SUCCEEDED: 600 - len(lost),
            Outcome.CANCELLED: len(lost),
        }


class TestStatisticsOverTheBlockingLink(TestStatistics):
    """It is the same over the link that blocks."""

    blocking = True


class TestLostReplies(CutReplies):
    """What was counted by a call whose reply was cut is not counted again."""

    @pytest.mark.parametrize(
        ("script", "outcome"),
        [
            (TRANSITION, Succeeded()),
            (TRANSITION, Failed("no", again_at=NOW + 60)),
            (SETTLE_WITH_FOLLOWUPS, Succeeded(then=(a_task(id="follows", due=NOW + 60),))),
        ],
        ids=["deleted", "changed", "followed"],
    )
    async def test_a_verdict_counts_once(
        self, broker: RedisBroker, script: Script, outcome: Transition
    ) -> None:
        """Whatever became of its task."""
        claim = await a_claimed(broker)
        cut = self.cut(script)
        answers = await broker.settle([Verdict(claim.lease, outcome, 1.0, 1.0)], now=NOW)
        assert cut.wait(PATIENCE)
        assert isinstance(answers[0], Settled)
        total = await total_of(broker)
        assert (total.processed, total.waits.number, total.runs.number) == (1, 1, 1)

    async def test_a_batch_with_a_lost_lease_counts_once(self, broker: RedisBroker) -> None:
        """The reply of the call that wrote nothing is cut."""
        await put(broker, *some_tasks(3))
        claims = await take(broker, 3)
        async with self.opened() as operator:
            await operator.execute("default", [claims[1].task.id], Cancelled(), now=NOW)
        cut = self.cut(TRANSITION)
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
        assert [type(each) for each in await broker.settle(verdicts, now=NOW)] == [
            Settled,
            LeaseLost,
            Settled,
        ]
        assert cut.wait(PATIENCE)
        assert (await total_of(broker)).succeeded == 2

    async def test_a_crash_counts_once(self, broker: RedisBroker) -> None:
        """Whichever reply of the sweep was cut, and though others sweep meanwhile."""
        for script in (SWEEP, TRANSITION):
            await put(broker, a_task())
            assert await take(broker, 1)

            def sweep(other: RedisBroker) -> object:
                return step(sweep_all(other, now=NOW + LEASE))

            cut = self.cut(script, sweep)
            await sweep_all(broker, now=NOW + LEASE)
            assert cut.wait(PATIENCE)
            for claim in await take(broker, now=NOW + LEASE):
                await end(broker, claim, Cancelled())
        assert (await total_of(broker)).crashed == 2


class TestLostRepliesOfTheBlockingLink(TestLostReplies):
    """It is the same over the link that blocks."""

    blocking = True
