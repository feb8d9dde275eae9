"""What is Redis's own of what is kept of runs, of what follows them, and of who is told."""

from collections.abc import Sequence
from threading import Event

import msgspec
import pytest
import redis

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.scripts import DETAILS, SAVE_DETAILS, SETTLE_WITH_FOLLOWUPS, TRANSITION
from qcore.doctor import diagnose
from qcore.domain.answers import LeaseLost, Moved, Settled
from qcore.domain.diagnostics import Grade
from qcore.domain.new_task import REPLACE, NewTask, TaskId
from qcore.domain.run_details import (
    MAX_TRACEBACK,
    AttemptError,
    Details,
    DetailsSaved,
    DetailsUpdate,
    Progress,
)
from qcore.domain.states import State
from qcore.domain.task import Claim, RetentionPolicy, Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Crashed,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Updated,
)
from qcore.domain.transitions import Transition as Outcome
from qcore.errors import BrokerUnusable
from qcore.ports import Broker, Notification, TasksChanged
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import step
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
    on_work,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from tests.adapters.doctoring import of
from tests.adapters.redis_kit import CutReplies, RedisCases, lasting, pauses, teach
from tests.adapters.redis_life import OUTCOMES
from tests.adapters.test_redis_keys import watched
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer

__all__ = ["pauses"]

PATIENCE = 30.0
HASH = "qcore:{default}:details"
NEWS = "qcore:{default}:news"
TASKS_OF_B = "qcore:{b}:tasks"
HALF = Progress(NOW, 0.5, "half of it")
YEAR = 365 * 86_400.0
IDS = ("plain", "20" * 16, "é:1", "12", "p12")
"""Among them one that is stored in half its length, and two that are like what stands by them."""


async def written(broker: Broker, claim: Claim) -> Details:
    """Fail once, run again, and say all that a run can say; return what is kept then."""
    error = "no | 3 4"
    assert await end(broker, claim, Failed(error, NOW, worker="w")) == Settled(State.RETRY)
    again = await take_one(broker, claim.task.queue)
    assert again.task.id == claim.task.id
    assert list(await broker.save_details([DetailsUpdate(again.lease, HALF, b"so far")])) == [
        DetailsSaved()
    ]
    return Details((AttemptError(NOW, 1, error, "w"),), HALF, b"so far")


async def read_one(broker: Broker, task: NewTask) -> Details | None:
    """Return what is kept of one task."""
    (details,) = await broker.details(task.queue, [task.id])
    return details


def sent(lines: Sequence[bytes], command: str, word: str = "") -> list[bytes]:
    """Return what was asked with a command, and has a word in it."""
    return [line for line in lines if f'"{command}"'.encode() in line and word.encode() in line]


class TestDetails(RedisCases):
    """What is kept of runs, as it is stored."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    @pytest.mark.parametrize("name", IDS)
    async def test_each_task_has_its_own(self, broker: RedisBroker, name: str) -> None:
        """Whatever its id is made of: no other's is like it, and none is left of it."""
        others = [a_task(id=f"{letter}{name}") for letter in "epsa"]
        for other in others:
            claim = await a_claimed(broker, other)
            await broker.save_details([DetailsUpdate(claim.lease, None, other.id.encode())])
        task = a_task(id=name)
        expected = await written(broker, await a_claimed(broker, task))
        assert await read_one(broker, task) == expected
        await execute_on(broker, task, Cancelled(by="ann"))
        assert self.server.cli("HLEN", HASH) == 8
        await execute_on(broker, task, Deleted(by="ann"))
        found = await broker.details("default", [*ids_of(others), name])
        assert list(found) == [*(Details(saved=each.id.encode()) for each in others), None]
        assert self.server.cli("HLEN", HASH) == 4

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
    @pytest.mark.parametrize("retention", [0.0, 60.0])
    async def test_it_goes_with_its_task(self, outcome: Outcome, retention: float) -> None:
        """By whichever verdict: at once where that is all, else when the past is trimmed."""
        async with self.opened(RetentionPolicy(age=86_400.0)) as broker:
            task = a_task(retention=retention)
            claim = await a_claimed(broker, task)
            expected = await written(broker, claim)
            (again,) = await broker.get("default", [task.id])
            assert again is not None
            answer = await end(broker, await self.held(broker, task), outcome)
            assert isinstance(answer, Settled)
            if answer.state is State.GONE:
                self.nothing_is_left()
                return
            kept = await read_one(broker, task)
            assert kept is not None
            assert (kept.progress, kept.saved) == (expected.progress, expected.saved)
            await execute_on(broker, task, Cancelled())
            await sweep_all(broker, now=NOW + YEAR)
            self.nothing_is_left()

    async def held(self, broker: RedisBroker, task: NewTask) -> Claim:
        """Return the claim of a task that is active, made anew."""
        await sweep_all(broker, now=NOW + LEASE)
        claim = await take_one(broker)
        assert claim.task.id == task.id
        return claim

    @pytest.mark.parametrize("order", [Deleted(), Archived(), Cancelled(), RunNow()], ids=str)
    @pytest.mark.parametrize("outcome", [Failed("no", NOW + 9), Exhausted("no"), Snoozed(NOW + 9)])
    async def test_orders_keep_it_until_its_task_goes(
        self, broker: RedisBroker, outcome: Outcome, order: Outcome
    ) -> None:
        """An operator's order loses nothing of a task that stays."""
        task = a_task()
        await written(broker, await a_claimed(broker, task))
        await end(broker, await self.held(broker, task), outcome)
        before = await read_one(broker, task)
        answer = await execute_on(broker, task, order)  # type: ignore[arg-type]
        is_gone = answer == Moved(State.GONE)
        assert await read_one(broker, task) == (None if is_gone else before)
        assert self.server.cli("EXISTS", HASH) == int(not is_gone)
        for last in (Cancelled(), Deleted()):
            await execute_on(broker, task, last)
        self.nothing_is_left()

    @pytest.mark.parametrize("is_same", [True, False])
    async def test_a_replaced_task_leaves_none(self, broker: RedisBroker, *, is_same: bool) -> None:
        """Neither to a task that takes its id, nor to one that takes its key."""
        task = a_task(id="first", unique_key="k")
        await written(broker, await a_claimed(broker, task))
        await end(broker, await self.held(broker, task), Failed("no", NOW + 9))
        name = "first" if is_same else "second"
        await put(broker, new := a_task(id=name, unique_key="k", on_duplicate=REPLACE))
        assert await read_one(broker, new) == Details()
        assert self.server.cli("EXISTS", HASH) == 0

    async def test_an_ended_task_leaves_none_to_the_next_of_its_id(
        self, broker: RedisBroker
    ) -> None:
        """Alone, and in a batch of others."""
        tasks = some_tasks(3)
        for task in tasks:
            await written(broker, await a_claimed(broker, task))
            await end(broker, await self.held(broker, task), Exhausted("no"))
        await put(broker, tasks[0])
        assert self.server.cli("HLEN", HASH) == 6
        await put(broker, a_task(), *tasks[1:], a_task())
        assert self.server.cli("EXISTS", HASH) == 0

    async def test_hundreds_leave_none(self, broker: RedisBroker) -> None:
        """That end, or are trimmed, in one call."""
        await put(broker, *some_tasks(600), *some_tasks(600, retention=60, queue="b"))
        for queue in ("default", "b"):
            claims = await take(broker, 600, queue)
            notes = [DetailsUpdate(claim.lease, HALF, b"x") for claim in claims]
            assert set(await broker.save_details(notes)) == {DetailsSaved()}
            await broker.settle([Verdict(claim.lease, Succeeded()) for claim in claims], now=NOW)
        assert self.server.cli("EXISTS", HASH) == 0
        assert self.server.cli("HLEN", "qcore:{b}:details") == 1_200
        await sweep_all(broker, "b", now=NOW + 60)
        assert self.server.cli("EXISTS", "qcore:{b}:details") == 0

    async def test_the_history_does_not_grow(self, broker: RedisBroker) -> None:
        """Ten errors of the longest are all there is, after fifty."""
        await put(broker, task := a_task())
        error, traceback = "1 2|" * 500, "é" * MAX_TRACEBACK
        sizes: list[int] = []
        for n in range(1, 51):
            claim = await take_one(broker)
            await end(broker, claim, Failed(error, NOW, worker="w 1", traceback=traceback))
            sizes.append(self.server.cli("HSTRLEN", HASH, f"e{task.id}"))
            details = await read_one(broker, task)
            assert details is not None
            assert details.errors == tuple(
                AttemptError(NOW, attempt, error, "w 1", traceback)
                for attempt in range(max(1, n - 9), n + 1)
            )
        assert max(sizes[9:]) - sizes[9] <= 20

    async def test_errors_of_an_older_version_are_read(self, broker: RedisBroker) -> None:
        """Theirs named no version; what is not known of a new one takes no room beside it."""
        claim = await a_claimed(broker, task := a_task())
        await end(broker, claim, Failed("no", NOW))
        stored = {"at": NOW, "attempt": 1, "error": "no", "worker": "w", "traceback": None}
        old, new = msgspec.msgpack.encode(stored), self.server.cli("HSTRLEN", HASH, f"e{task.id}")
        assert new < len(old)
        pieces = b"%d %b" % (len(old), old)
        with redis.Redis.from_url(self.server.url) as client:
            client.hset(HASH, f"e{task.id}", pieces)
        details = await read_one(broker, task)
        assert details == Details((AttemptError(NOW, 1, "no", "w"),))

    async def test_half_a_text_is_kept_as_what_it_is(self, broker: RedisBroker) -> None:
        """An error that cannot be encoded is no reason to lose the verdict."""
        claim = await a_claimed(broker, task := a_task())
        outcome = Exhausted("\ud800 no", worker="\udfff", traceback="\ud800")
        assert await end(broker, claim, outcome) == Settled(State.ARCHIVED)
        details = await read_one(broker, task)
        assert details is not None
        assert details.errors[0].error == "? no"

    async def test_a_task_that_was_tampered_with_is_read(self, broker: RedisBroker) -> None:
        """What nobody can read of its runs is not there; the others are."""
        expected: dict[TaskId, Details] = {}
        tasks = some_tasks(6)
        for task in tasks:
            expected[task.id] = await written(broker, await a_claimed(broker, task))
        wrong = (b"x", b"", b"3 abc", b"999999 x", b"-1 x", b"\xff\x00")
        for task, text in zip(tasks, wrong, strict=True):
            for field in "ep":
                self.server.cli("HSET", HASH, f"{field}{task.id}", text)
        good = a_task()
        expected[good.id] = await written(broker, await a_claimed(broker, good))
        found = await broker.details("default", [*ids_of(tasks), good.id])
        assert [each is not None and each.saved for each in found] == [b"so far"] * 7
        assert found[-1] == expected[good.id]
        for claimed in await take_again(broker):
            await end(broker, claimed, Exhausted("again"))
        for each in await broker.details("default", ids_of(tasks)):
            assert each is not None
            assert each.errors[-1].error == "again"

    async def test_a_hash_that_is_somebody_else_s(self, broker: RedisBroker) -> None:
        """Nothing of it is touched, and no verdict is half written."""
        task = a_task()
        claim = await a_claimed(broker, task)
        self.server.cli("SET", HASH, "data")
        for call in (
            lambda: end(broker, claim, Failed("no", NOW)),
            lambda: broker.save_details([DetailsUpdate(claim.lease, HALF)]),
            lambda: broker.details("default", [task.id]),
        ):
            with pytest.raises(BrokerUnusable, match=f"foreign data.*{HASH}"):
                await call()
        assert self.server.cli("GET", HASH) == "data"
        self.server.cli("DEL", HASH)
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        self.nothing_is_left()

    async def test_a_full_server_keeps_no_more(self, broker: RedisBroker) -> None:
        """A note is refused, and loses no lease; a task that goes takes all of its own along."""
        claim = await a_claimed(broker, task := a_task())
        expected = await written(broker, claim)
        claim = await self.held(broker, task)
        self.server.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(BrokerUnavailable, match="maxmemory is reached"):
                await broker.save_details([DetailsUpdate(claim.lease, None, b"more")])
            found = await read_one(broker, task)
            assert found is not None
            assert found.saved == expected.saved
            assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        finally:
            self.server.cli("CONFIG", "SET", "maxmemory", "0")
        self.nothing_is_left()

    async def test_a_plain_life_asks_once_a_call_whether_there_is_any(
        self, broker: RedisBroker
    ) -> None:
        """And nobody is told anything of tasks that go."""
        await put(broker, a_task())
        await end(broker, await take_one(broker), Succeeded())
        with watched(self.server) as heard:
            await put(broker, a_task())
            await put(broker, *some_tasks(99))
            for number in (1, 99):
                claims = await take(broker, number)
                await broker.settle([Verdict(c.lease, Succeeded()) for c in claims], now=NOW)
        asked = [line for line in heard if b" lua] " in line and HASH.encode() in line]
        # each of the two verdicts: whose it is, and whether it is there
        assert len(asked) <= 4
        assert sent(heard, "PUBLISH", "news") == []
        assert len(sent(heard, "EVALSHA")) <= 6

    async def test_few_details_are_read_at_once(self, broker: RedisBroker) -> None:
        """However large they are, no answer is larger than some megabytes."""
        tasks = some_tasks(40)
        await put(broker, *tasks)
        notes = [DetailsUpdate(claim.lease, None, b"x" * 250_000) for claim in await take(broker)]
        await broker.save_details(notes)
        teach(self.server)
        with watched(self.server) as heard:
            found = await broker.details("default", ids_of(tasks))
        assert [each and each.saved for each in found] == [b"x" * 250_000] * 40
        assert len(sent(heard, "EVALSHA", DETAILS.digest)) > 1

    async def test_large_notes_go_in_several_calls(self, broker: RedisBroker) -> None:
        """As large tasks do."""
        await put(broker, *some_tasks(40))
        notes = [DetailsUpdate(claim.lease, None, b"x" * 250_000) for claim in await take(broker)]
        teach(self.server)
        with watched(self.server) as heard:
            assert set(await broker.save_details(notes)) == {DetailsSaved()}
        assert len(sent(heard, "EVALSHA", SAVE_DETAILS.digest)) > 1

    async def test_the_doctor_finds_nothing_amiss(self, broker: RedisBroker) -> None:
        """What is kept of runs is a queue's own, and no leftover."""
        await written(broker, await a_claimed(broker))
        found = await diagnose(broker)
        for about in ("namespace", "queues", "leftovers"):
            assert of(found, about).grade is Grade.OK

    def nothing_is_left(self) -> None:
        """Fail unless an empty queue is its meta alone."""
        keys = lasting(self.server.cli("KEYS", "*"))
        assert keys == {"qcore:queues", "qcore:{default}:meta"}


class TestDetailsOverTheBlockingLink(TestDetails):
    """It is the same over the link that blocks."""

    blocking = True


async def take_again(broker: RedisBroker) -> Sequence[Claim]:
    """Take back what is active, and claim all there is."""
    await sweep_all(broker, now=NOW + LEASE)
    return await take(broker, now=NOW + LEASE)


class TestNews(RedisCases):
    """Who is told, and by how many messages."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_one_message_tells_of_a_whole_call(self, broker: RedisBroker) -> None:
        """Of a hundred tasks that end together, in three ways, and of a hundred that get on."""
        await put(broker, *some_tasks(200, retention=60))
        claims = await take(broker, 200)
        outcomes = (Succeeded(b"1"), Exhausted("no"), Rejected("no"))
        with watched(self.server) as heard:
            await broker.settle(
                [Verdict(c.lease, outcomes[n % 3]) for n, c in enumerate(claims[:100])], now=NOW
            )
            await broker.save_details([DetailsUpdate(c.lease, HALF) for c in claims[100:]])
        assert len(sent(heard, "PUBLISH", NEWS)) == 2

    @pytest.mark.parametrize(
        "outcome",
        [Succeeded(), Revoked(), Failed("no", NOW), Snoozed(NOW + 1), Released(), Crashed()],
        ids=str,
    )
    async def test_no_message_tells_of_what_goes_or_goes_on(
        self, broker: RedisBroker, outcome: Outcome
    ) -> None:
        """Of a task that is gone, or has not ended yet, nobody is told."""
        claim = await a_claimed(broker)
        with watched(self.server) as heard:
            await end(broker, claim, outcome)
        assert sent(heard, "PUBLISH", NEWS) == []

    async def test_saved_work_is_no_news(self, broker: RedisBroker) -> None:
        """It is for the next attempt alone."""
        claim = await a_claimed(broker)
        with watched(self.server) as heard:
            await broker.save_details([DetailsUpdate(claim.lease, None, b"x")])
        assert sent(heard, "PUBLISH", NEWS) == []

    @pytest.mark.parametrize("name", IDS)
    async def test_every_id_is_told_as_it_is(self, broker: RedisBroker, name: str) -> None:
        """Beside others, in one message."""
        news = News()
        subscription = await broker.subscribe(["default"], {TasksChanged}, news)
        news.told.clear()
        tasks = [a_task(retention=9), a_task(id=name, retention=9), a_task(retention=9)]
        await put(broker, *tasks)
        news.wanted = name
        verdicts = [Verdict(claim.lease, Succeeded()) for claim in await take(broker)]
        await broker.settle(verdicts, now=NOW)
        assert await self.comes(news.heard)
        assert news.told == [("default", ids_of(tasks))]
        await subscription.close()

    async def test_what_is_no_message_of_ours_tells_of_any(self, broker: RedisBroker) -> None:
        """Somebody else may say something there; it ends no subscription."""
        news = News()
        subscription = await broker.subscribe(["default"], {TasksChanged}, news)
        for said in ("hello", "3", "9 ab", "-1 x", "1  x"):
            self.server.cli("PUBLISH", NEWS, said)
        task = a_task(retention=9)
        news.wanted = task.id
        await end(broker, await a_claimed(broker, task), Succeeded())
        assert await self.comes(news.heard)
        await subscription.close()

    async def test_whoever_was_cut_off_is_told_that_any_may_have_news(
        self, broker: RedisBroker
    ) -> None:
        """For each of the queues, as soon as messages come again."""
        news = News()
        subscription = await broker.subscribe(["default", "b"], {TasksChanged}, news)
        news.told.clear()
        news.wanted = ""
        self.server.cli("CLIENT", "KILL", "TYPE", "pubsub")
        assert await self.comes(news.heard)
        task = a_task(retention=9)
        news.listen_for(task.id)
        await end(broker, await a_claimed(broker, task), Succeeded())
        assert await self.comes(news.heard)
        assert {("default", ()), ("b", ())} <= {(queue, tuple(ids)) for queue, ids in news.told}
        await subscription.close()

    async def test_who_listens_for_work_hears_no_news(self, broker: RedisBroker) -> None:
        """A worker is woken by no result, and who waits for one by no work."""
        subscription = await on_work(broker, ["default"], lambda: None)
        other = await broker.subscribe(["default"], {TasksChanged}, News())
        assert {*self.server.cli("PUBSUB", "CHANNELS")} == {"qcore:{default}:wake", NEWS}
        with watched(self.server) as heard:
            await put(broker, a_task(retention=9))
        assert [b"wake" in line for line in sent(heard, "PUBLISH")] == [True]
        claim = await take_one(broker)
        with watched(self.server) as heard:
            await end(broker, claim, Succeeded())
        assert [b"news" in line for line in sent(heard, "PUBLISH")] == [True]
        await subscription.close()
        await other.close()


class TestNewsOverTheBlockingLink(TestNews):
    """It is the same over the link that blocks."""

    blocking = True


class News:
    """What was told; `heard` is set when `wanted` is among it, or "" where any may have news."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Sequence[TaskId]]] = []
        self.wanted: str | None = None
        self.heard = Event()

    def listen_for(self, task: TaskId) -> None:
        """Wait for another one."""
        self.heard.clear()
        self.wanted = task

    def __call__(self, notification: Notification) -> None:
        assert isinstance(notification, TasksChanged)
        queue, ids = notification.queue, notification.ids
        self.told.append((queue, list(ids)))
        if self.wanted is not None and (self.wanted in ids or (not ids and not self.wanted)):
            self.heard.set()


class TestFollowUps(RedisCases):
    """What follows is enqueued where the verdict is written."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_it_is_one_call(self, broker: RedisBroker) -> None:
        """For the task's own queue and for others."""
        then = (a_task(), a_task(queue="b"), a_task(queue="c", due=NOW + 9))
        await put(broker, *(a_task(queue=queue, due=NOW + 999) for queue in "bc"))
        claim = await a_claimed(broker)
        teach(self.server)
        with watched(self.server) as heard:
            assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert len(sent(heard, "EVALSHA")) == 1
        assert [task is not None for task in [await find_task(broker, t) for t in then]] == [
            True
        ] * 3

    async def test_a_new_queue_is_known(self, broker: RedisBroker) -> None:
        """Whoever counts or sweeps all queues finds it."""
        claim = await a_claimed(broker)
        await end(broker, claim, Succeeded(then=(a_task(queue="new"),)))
        assert await broker.count() == {"new": {State.PENDING: 1}}

    async def test_a_lost_lease_makes_no_queue(self, broker: RedisBroker) -> None:
        """Not even its name."""
        claim = await a_claimed(broker)
        await end(broker, claim, Succeeded())
        assert await end(broker, claim, Succeeded(then=(a_task(queue="new"),))) == LeaseLost()
        keys = lasting(self.server.cli("KEYS", "*"))
        assert keys == {"qcore:queues", "qcore:{default}:meta"}

    @pytest.mark.parametrize("data", [("SET", TASKS_OF_B, "data"), ("HSET", TASKS_OF_B, "a", "b")])
    async def test_a_queue_that_cannot_be_followed_in_ends_nothing(
        self, broker: RedisBroker, data: tuple[str, ...]
    ) -> None:
        """Where somebody else's data are, the task goes on, and is settled when they are gone."""
        claim = await a_claimed(broker)
        self.server.cli(*data)
        then = (a_task(), a_task(queue="b"))
        with pytest.raises(BrokerUnusable, match=f"foreign data.*{TASKS_OF_B}"):
            await end(broker, claim, Succeeded(then=then))
        assert await broker.count() == {"default": {State.ACTIVE: 1}}
        self.server.cli("DEL", TASKS_OF_B)
        assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert ids(await take(broker, 9, "default", "b")) == ids_of(then)

    @pytest.mark.parametrize("queue", ["default", "b"])
    async def test_hundreds_may_follow(self, broker: RedisBroker, queue: str) -> None:
        """One task, in their order."""
        claim = await a_claimed(broker)
        then = tuple(some_tasks(700, queue=queue))
        assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert ids(await take(broker, 999, queue)) == ids_of(then)

    async def test_what_is_kept_is_told_of(self, broker: RedisBroker) -> None:
        """A verdict that something follows is news as any other."""
        claim = await a_claimed(broker, a_task(retention=9))
        with watched(self.server) as heard:
            await end(broker, claim, Succeeded(then=(a_task(queue="b"),)))
        assert len(sent(heard, "PUBLISH", NEWS)) == 1
        assert len(sent(heard, "PUBLISH", "qcore:{b}:wake")) == 1


class TestFollowUpsOverTheBlockingLink(TestFollowUps):
    """It is the same over the link that blocks."""

    blocking = True


class TestOnACluster(RedisCases):
    """What follows in another slot is there before its task has ended."""

    blocking = True

    async def test_it_follows_in_every_slot(self, empty_cluster: RedisCluster) -> None:
        """Of each node; and is told of there."""
        self.url = empty_cluster.url
        queues = [f"queue-{n}" for n in range(9)]
        owners = {id(empty_cluster.owner(f"qcore:{{{queue}}}:tasks")) for queue in queues}
        assert len(owners) > 1
        async with self.opened() as broker:
            claim = await a_claimed(broker)
            then = tuple(a_task(queue=queue) for queue in ("default", *queues))
            assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
            assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
            for task in then:
                news = News()
                subscription = await broker.subscribe([task.queue], {TasksChanged}, news)
                news.wanted = task.id
                found = await take_one(broker, task.queue)
                assert found.task.spec == task
                assert list(await broker.save_details([DetailsUpdate(found.lease, HALF)])) == [
                    DetailsSaved()
                ]
                assert await self.comes(news.heard)
                assert await read_one(broker, task) == Details((), HALF)
                await end(broker, found, Succeeded())
                await subscription.close()
            assert await broker.count() == {}

    async def test_nothing_follows_a_lost_lease(self, empty_cluster: RedisCluster) -> None:
        """In whichever slot: it is looked at first."""
        self.url = empty_cluster.url
        async with self.opened() as broker:
            claim = await a_claimed(broker)
            await sweep_all(broker, now=NOW + LEASE)
            then = tuple(a_task(queue=f"queue-{n}") for n in range(9))
            assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
            await take_one(broker)
            assert await end(broker, claim, Succeeded(then=then)) == LeaseLost()
            assert await broker.count() == {"default": {State.ACTIVE: 1}}

    async def test_a_verdict_made_again_adds_nothing(self, empty_cluster: RedisCluster) -> None:
        """What was enqueued before the verdict failed is there already."""
        self.url = empty_cluster.url
        async with self.opened() as broker:
            claim = await a_claimed(broker)
            then = tuple(a_task(queue=f"queue-{n}") for n in range(9))
            await put(broker, *then[:4])
            assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
            assert await broker.count() == {task.queue: {State.PENDING: 1} for task in then}


class TestLostReplies(CutReplies):
    """A reply that was cut after the work was done is asked for again; the work is done once."""

    @pytest.mark.parametrize("queue", ["default", "b"])
    async def test_what_follows_is_enqueued_once(self, broker: RedisBroker, queue: str) -> None:
        """Though it has run, and is gone, before the reply is asked for again."""
        await put(broker, a_task(queue="b"))
        await end(broker, await take_one(broker, "b"), Succeeded())
        claim = await a_claimed(broker)
        cut = self.cut(SETTLE_WITH_FOLLOWUPS, lambda other: step(run(other, queue)))
        then = (a_task(queue=queue),)
        assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert cut.wait(PATIENCE)
        assert await broker.count() == {}

    async def test_an_error_is_kept_once(self, broker: RedisBroker) -> None:
        """One failure is one line of the history."""
        claim = await a_claimed(broker, task := a_task())
        cut = self.cut(TRANSITION)
        assert await end(broker, claim, Failed("no", NOW + 1)) == Settled(State.RETRY)
        assert cut.wait(PATIENCE)
        assert await read_one(broker, task) == Details((AttemptError(NOW, 1, "no"),))

    async def test_a_note_is_kept(self, broker: RedisBroker) -> None:
        """Its lease is not said to be lost."""
        claim = await a_claimed(broker, task := a_task())
        cut = self.cut(SAVE_DETAILS)
        assert list(await broker.save_details([DetailsUpdate(claim.lease, HALF)])) == [
            DetailsSaved()
        ]
        assert cut.wait(PATIENCE)
        assert await read_one(broker, task) == Details((), HALF)

    @pytest.mark.parametrize(
        ("order", "state"),
        [
            (Rescheduled(NOW + 90), State.SCHEDULED),
            (Updated({"priority": 7}), State.PENDING),
            (Updated({"payload": b"2"}), State.PENDING),
        ],
        ids=lambda value: repr(value)[:40],
    )
    async def test_a_change_is_made_once(
        self, broker: RedisBroker, order: Rescheduled | Updated, state: State
    ) -> None:
        """It is answered with the move, though the task has gone on since."""
        await put(broker, task := a_task())
        cut = self.cut(TRANSITION)
        assert await execute_on(broker, task, order) == Moved(state)
        assert cut.wait(PATIENCE)
        assert (await stored_task(broker, task)).state is state


class TestLostRepliesOfTheBlockingLink(TestLostReplies):
    """It is the same over the link that blocks."""

    blocking = True


async def run(broker: RedisBroker, queue: str) -> None:
    """Run all there is to run in a queue."""
    claims = await take(broker, 9, queue)
    assert claims
    verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
    assert set(await broker.settle(verdicts, now=NOW)) == {Settled(State.GONE)}
