from collections import Counter
from functools import partial

import pytest

from qcore import BrokerUnavailable, connect
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import SCRIPTS
from qcore.domain.answers import LeaseLost, Moved, Settled, Swept
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import (
    Cancelled,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Snoozed,
    Succeeded,
)
from qcore.domain.transitions import Transition as Outcome
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import in_threads, step
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    ids,
    ids_of,
    put,
    stored_task,
    sweep_all,
    take,
)
from tests.adapters.redis_kit import Pauses, RedisCases, broker_at, pauses
from tests.servers.redis import RedisServer

__all__ = ["pauses"]

META = "qcore:{default}:meta"


def ended(broker: RedisBroker, claim: Claim, outcome: Outcome) -> Settled | LeaseLost:
    """Settle a claim, in a thread."""
    return step(end(broker, claim, outcome))


class TestFencing(RedisCases):
    """However many work at once, one token is good at a time, and it is good once."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.url = empty_redis.url

    async def test_one_of_many_verdicts_counts(self, broker: RedisBroker) -> None:
        """Those who settle the same lease at the same time: one has, the others have lost it."""
        outcomes: list[Outcome] = [
            Succeeded(b"42"),
            Failed("no", NOW + 1),
            Exhausted("no"),
            Rejected("no"),
            Released(),
            Snoozed(NOW + 1),
        ]
        for _ in range(25):
            claim = await a_claimed(broker, a_task(retention=60))
            answers = in_threads([partial(ended, broker, claim, outcome) for outcome in outcomes])
            settled = [answer for answer in answers if isinstance(answer, Settled)]
            assert len(settled) == 1
            assert (await stored_task(broker, claim.task.spec)).state is settled[0].state
            await execute_on(broker, claim.task.spec, Deleted())
        assert await broker.count() == {}

    async def test_a_verdict_or_a_crash(self, broker: RedisBroker) -> None:
        """Who settles while a sweep takes the task back: one of both has done so."""
        for _ in range(50):
            claim = await a_claimed(broker)
            settle = partial(ended, broker, claim, Succeeded())
            answer, crashed = in_threads(
                [settle, lambda: step(sweep_all(broker, now=NOW + LEASE)).crashed]
            )
            assert (answer, crashed) in ((Settled(State.GONE), 0), (LeaseLost(), 1))
            await execute_on(broker, claim.task.spec, Deleted())

    async def test_workers_that_are_taken_for_lost_end_no_task_twice(
        self, broker: RedisBroker
    ) -> None:
        """Where each takes from the others what it can, each task ends once."""
        tasks = some_tasks(300, max_crashes=1_000_000)
        await put(broker, *tasks)
        tokens: list[int] = []

        def work() -> list[TaskId]:
            mine = broker_at(self.url).blocking()
            done: list[TaskId] = []
            raids = 20
            while (claims := step(take(mine, 7))) or step(mine.count()):
                tokens.extend(claim.lease.token for claim in claims)
                if raids := max(0, raids - 1):
                    step(sweep_all(mine, limit=2, now=NOW + LEASE))
                verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
                answers = step(mine.settle(verdicts, now=NOW))
                pairs = zip(claims, answers, strict=True)
                done += [claim.task.id for claim, it in pairs if isinstance(it, Settled)]
            step(mine.close())
            return done

        shares = in_threads([work] * 4)
        assert Counter(each for share in shares for each in share) == Counter(ids_of(tasks))
        assert len(set(tokens)) == len(tokens) > len(tasks)


class TestScripts(RedisCases):
    """The scripts, over both links."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer, pauses: Pauses) -> None:
        self.server, self.url = empty_redis, empty_redis.url
        self.pauses = pauses

    async def test_a_server_that_forgets_the_scripts_is_told_them_again(
        self, broker: RedisBroker
    ) -> None:
        """Before each call of each kind, and nobody has to wait."""
        flush = "SCRIPT", "FLUSH"
        self.server.cli(*flush)
        await put(broker, *(tasks := [a_task(), a_task(), a_task(due=NOW + 5)]))
        self.server.cli(*flush)
        (claim, _) = await take(broker)
        self.server.cli(*flush)
        await broker.extend([claim.lease], until=NOW + 2 * LEASE)
        self.server.cli(*flush)
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        self.server.cli(*flush)
        assert (await sweep_all(broker, now=NOW + LEASE)).crashed == 1
        self.server.cli(*flush)
        assert await broker.next_due(["default"]) == NOW + 5
        self.server.cli(*flush)
        assert (await stored_task(broker, tasks[2])).state is State.SCHEDULED
        self.server.cli(*flush)
        assert len((await broker.browse("default", State.PENDING, 10)).tasks) == 1
        self.server.cli(*flush)
        assert await broker.count() == {"default": {State.PENDING: 1, State.SCHEDULED: 1}}
        known = self.server.cli("SCRIPT", "EXISTS", *(s.digest for s in SCRIPTS.values()))
        assert sum(known) == 1
        assert self.pauses.taken == []

    @pytest.mark.parametrize(
        "before", [10, 250, 4_090, 2**31 - 300, 2**32 - 300, 2**52 - 300, 2**53 - 2_000]
    )
    async def test_the_line_never_comes_to_an_end(self, broker: RedisBroker, before: int) -> None:
        """First in, first out, where the number of a task has one digit more than the last."""
        await put(broker, first := a_task(priority=7))
        self.server.cli("HSET", META, "sequence", before)
        tasks = some_tasks(600, priority=7)
        await put(broker, *tasks[:300])
        for task in tasks[300:310]:
            await put(broker, task)
        # each due a little after the last: those due at one moment come in the order of their ids
        await put(broker, *(later := [a_task(due=NOW + n / 32, priority=7) for n in range(1, 31)]))
        await put(broker, *tasks[310:])
        assert ids(await take(broker, 400)) == [first.id, *ids_of(tasks[:399])]
        assert ids(await take(broker, 400, now=NOW + 1)) == [*ids_of(tasks[399:]), *ids_of(later)]
        assert int(self.server.cli("HGET", META, "sequence")) == before + 600 + 30 + 30

    async def test_many_leases_are_no_flat_list(self, broker: RedisBroker) -> None:
        """Redis would compare each new lease with all before it; what prevents that leaves nothing.

        It does so with few: those who claim one by one need no more.
        """
        active, progress = "qcore:{default}:active", "qcore:{default}:progress"
        await put(broker, *some_tasks(30))
        few = await take(broker, 8)
        assert self.server.cli("OBJECT", "ENCODING", progress) in {"listpack", "ziplist"}
        claims = [*few, *await take(broker, 7), *await take(broker, 15)]
        assert self.server.cli("OBJECT", "ENCODING", active) == "skiplist"
        assert self.server.cli("OBJECT", "ENCODING", progress) == "hashtable"
        assert self.server.cli("ZCARD", active) == self.server.cli("HLEN", progress) == 30
        for claim in claims:
            await end(broker, claim, Succeeded())
        assert not self.server.cli("EXISTS", active, progress)
        assert await broker.count() == {}

    async def test_a_server_that_is_full_still_lets_workers_work(self, broker: RedisBroker) -> None:
        """It takes no new task, and says why; all that makes it emptier goes on."""
        outcomes = [
            Succeeded(),
            Succeeded(b"42"),
            Failed("no", NOW + 9),
            Exhausted("no"),
            Rejected("no"),
            Released(),
            Snoozed(NOW + 9),
        ]
        await put(broker, *some_tasks(len(outcomes), retention=3600), *some_tasks(2))
        await put(broker, gone := a_task(priority=-1), dead := a_task(priority=-1))
        await put(broker, a_task(priority=-1, expires=NOW + 5), a_task(due=NOW + 1, priority=-1))
        self.server.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            for queue in ("default", "new"):
                with pytest.raises(BrokerUnavailable, match="maxmemory is reached"):
                    await put(broker, a_task(queue=queue))
            claims = await take(broker, len(outcomes) + 2)
            assert len(claims) == len(outcomes) + 2
            leases = [claim.lease for claim in claims]
            extended = await broker.extend(leases, until=NOW + 90)
            assert LeaseLost() not in extended
            verdicts = map(Verdict, leases, outcomes)
            assert LeaseLost() not in await broker.settle([*verdicts], now=NOW)
            assert (await sweep_all(broker, now=NOW + 90)).crashed == 2
            assert await execute_on(broker, gone, Deleted()) == Moved(State.GONE)
            assert await execute_on(broker, dead, Cancelled()) == Moved(State.DEAD)
            # it has all that is left: one is released, two crashed, three are due, one expired
            assert len(await take(broker, now=NOW + 9)) == 6
        finally:
            self.server.cli("CONFIG", "SET", "maxmemory", "0")
        assert (await broker.count())["default"] == {
            State.ACTIVE: 6,
            State.COMPLETED: 2,
            State.ARCHIVED: 1,
            State.DEAD: 3,
        }


class TestScriptsOverTheBlockingLink(TestScripts):
    """It is the same over the link that blocks."""

    blocking = True


async def test_a_sweep_beside_active_tasks_says_that_the_server_can_be_written(
    own_redis: RedisServer, pauses: Pauses
) -> None:
    """Where it refuses the writes that renew leases it refuses a sweep, which would find nothing.

    Workers take an answer to say that others could renew.
    """
    broker = connect(own_redis.url)
    await a_claimed(broker)
    assert await sweep_all(broker) == Swept()
    own_redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")
    with pytest.raises(BrokerUnavailable, match="NOREPLICAS"):
        await sweep_all(broker)
    await broker.close()
