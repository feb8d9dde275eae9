"""What is Redis's own of unique tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore import BrokerUnavailable
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.encoding import encode_sequence, end_of_sequence
from qcore.adapters.redis.records import decode_claimed, decode_meta, decode_task, encode_task
from qcore.adapters.redis.scripts import ENQUEUE, TRANSITION
from qcore.doctor import diagnose
from qcore.domain.answers import Conflict, Duplicate, Enqueued, Settled
from qcore.domain.diagnostics import Grade
from qcore.domain.new_task import MAX_ID, REJECT, REPLACE, NewTask
from qcore.domain.states import ENDED, State
from qcore.domain.transitions import Cancelled, Deleted, Exhausted, Failed, RunNow, Succeeded
from qcore.domain.transitions import Transition as Outcome
from qcore.errors import BrokerUnusable
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, TaskOptions, a_task, some_tasks
from qcore.testing.contract.base import step
from qcore.testing.contract.states import LATER, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    find_task,
    ids,
    ids_of,
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
FAR = NOW + 100_000
KEY = "the one"
QUOTED = "the%20one"
HASH = "qcore:{default}:unique"
TASKS = "qcore:{default}:tasks"
STORED = ("meta", "tasks", "pending", "unique")
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
KEYS = TEXTS.filter(str.isprintable).map(lambda text: f"| {text}"[:MAX_ID])


def one(**options: object) -> NewTask:
    """Return a task with the key of all these cases."""
    given_: TaskOptions = {"unique_key": KEY}
    given_.update(options)  # type: ignore[typeddict-item]
    return a_task(**given_)


async def ask(broker: Broker, task: NewTask) -> object:
    """Enqueue one task and return the answer."""
    (answer,) = await broker.enqueue([task], now=NOW)
    return answer


@given(
    st.builds(
        NewTask,
        name=st.just("n"),
        id=st.just("i"),
        unique_key=KEYS,
        unique_for=st.none() | st.floats(0.001, 1e9),
        on_duplicate=st.sampled_from([REJECT, REPLACE]),
        priority=st.integers(-1000, 1000),
        group=st.sampled_from([None, "g|h"]),
    )
)
def test_every_key_comes_back(task: NewTask) -> None:
    """Whatever is in it, and it hides nothing of what is stored behind it."""
    value = encode_sequence(77).encode() + encode_task(task, NOW)
    assert decode_task("default", "i", State.PENDING, value, None).spec == task
    head = value[: value.index(b"|") + 1]
    assert decode_claimed("default", "i", value, None)[1:] == (head, False)
    assert decode_meta(head).unique == decode_meta(value).unique


def test_a_task_without_a_key_says_nothing_of_keys() -> None:
    """What is stored of it is as short as it ever was."""
    assert decode_meta(b"a1" + encode_task(a_task(), NOW)).unique is None
    value = b"a1" + encode_task(a_task(priority=1), NOW)
    assert value[end_of_sequence(value) : value.index(b"|")] == b"-1 - 0.0 3 0"


class TestUnique(RedisCases):
    """Unique keys, as they are stored."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_an_operator_can_read_who_has_which_key(self, broker: RedisBroker) -> None:
        """One hash names each key, until when it is had, and by which task; and then it is gone."""
        tasks = [
            a_task(id="a", unique_key="user:7"),
            a_task(id="b", unique_key="a|b c", unique_for=10),
        ]
        await put(broker, *tasks)
        assert self.server.cli("HGETALL", HASH) == {
            "user:7": "- a",
            "a%7Cb%20c": f"{NOW + 10} b",
        }
        for claim in await take(broker):
            await end(broker, claim, Succeeded())
        self.nothing_is_left()

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
    @pytest.mark.parametrize("retention", [0, 60])
    async def test_a_key_is_stored_for_as_long_as_it_is_had(
        self, broker: RedisBroker, outcome: Outcome, retention: float
    ) -> None:
        """A verdict that ends the task takes it out; any other leaves it."""
        claim = await a_claimed(broker, one(retention=retention))
        settled = await end(broker, claim, outcome)
        assert isinstance(settled, Settled)
        assert self.server.cli("EXISTS", HASH) == int(settled.state not in ENDED)

    async def test_plain_tasks_touch_no_key_of_it(self, broker: RedisBroker) -> None:
        """Whatever becomes of a task without a unique key, no script asks for any."""
        await put(broker, *some_tasks(2))
        with watched(self.server) as heard:
            await put(broker, a_task())
            await put(broker, *some_tasks(9), a_task(due=NOW + 1), *some_tasks(2, expires=LATER))
            first, second, third = await take(broker, 3)
            await end(broker, first, Succeeded())
            await end(broker, second, Failed("no", NOW + 1))
            await end(broker, third, Exhausted("no"))
            await take(broker, 3, now=LATER)
            await execute_on(broker, third.task.spec, RunNow())
            await execute_on(broker, third.task.spec, Cancelled())
            await execute_on(broker, third.task.spec, Deleted())
        asked = [line for line in heard if b" lua] " in line]
        assert len(asked) > 50
        assert [line for line in asked if HASH.encode() in line] == []

    async def test_one_plain_task_is_given_five_keys(self, broker: RedisBroker) -> None:
        """As ever; one with a unique key is given all there are."""
        await put(broker, a_task())
        teach(self.server)
        with watched(self.server) as heard:
            await put(broker, a_task())
            await put(broker, one())
        asked = [line for line in heard if b'"EVALSHA"' in line]
        assert [HASH.encode() in line for line in asked] == [False, True]
        assert b'" "5" "' in asked[0]

    async def test_a_batch_is_one_call(self, broker: RedisBroker) -> None:
        """However often a key comes in it: all of it goes in at once, or nothing."""
        await put(broker, a_task())
        teach(self.server)
        batch = [one(on_duplicate=choice) for choice in (REJECT, REPLACE) * 50]
        with watched(self.server) as heard:
            answers = await broker.enqueue(batch, now=NOW)
        assert len([line for line in heard if b'"EVALSHA"' in line]) == 1
        assert [type(answer) for answer in answers] == [Enqueued, Enqueued] + [
            Duplicate,
            Enqueued,
        ] * 49
        assert ids_of(await browse_all(broker, State.PENDING))[-1:] == [batch[-1].id]
        assert self.server.cli("HLEN", TASKS) == 2
        assert self.server.cli("HGET", HASH, QUOTED).endswith(batch[-1].id)

    async def test_an_id_is_free_as_soon_as_its_task_was_replaced(
        self, broker: RedisBroker
    ) -> None:
        """Within a batch, as between two."""
        await put(broker, first := one())
        again = a_task(id=first.id)
        batch = [again, second := one(on_duplicate=REPLACE), again, again]
        assert await broker.enqueue(batch, now=NOW) == [
            Conflict(first.id, State.PENDING),
            Enqueued(second.id, State.PENDING),
            Enqueued(first.id, State.PENDING),
            Conflict(first.id, State.PENDING),
        ]
        batch = [third := one(on_duplicate=REPLACE), fourth := a_task(id=second.id)]
        assert await broker.enqueue(batch, now=NOW) == [
            Enqueued(third.id, State.PENDING),
            Enqueued(fourth.id, State.PENDING),
        ]
        assert await ask(broker, one()) == Duplicate(third.id, State.PENDING)
        assert ids(await take(broker)) == [first.id, third.id, fourth.id]

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.PENDING, State.RETRY])
    @pytest.mark.parametrize("is_same", [True, False])
    async def test_a_replaced_task_leaves_nothing(
        self, broker: RedisBroker, state: State, *, is_same: bool
    ) -> None:
        """No value, no record and no place, at once."""
        first = await bring_to(broker, state, one(id="first", expires=FAR, unique_for=9))
        name = first.id if is_same else "second"
        await put(broker, one(id=name, on_duplicate=REPLACE))
        for key in ("tasks", "unique"):
            assert self.server.cli("HLEN", f"qcore:{{default}}:{key}") == 1
        keys = lasting(self.server.cli("KEYS", "*"))
        assert keys == {"qcore:queues", *(f"qcore:{{default}}:{key}" for key in STORED)}
        assert self.server.cli("ZCARD", "qcore:{default}:pending") == 1

    async def test_a_task_that_stays_out_hides_no_other_s_moment(self, broker: RedisBroker) -> None:
        """Who waits hears of the next moment, though an earlier one was asked for in vain."""
        await put(broker, one(due=LATER))
        batch = [one(due=NOW + 1), a_task(due=NOW + 5), a_task(due=NOW + 2)]
        with watched(self.server) as heard:
            await broker.enqueue(batch, now=NOW)
        assert [line for line in heard if b'"PUBLISH"' in line]
        assert await broker.next_due(["default"]) == NOW + 2

    async def test_a_full_server_replaces_nothing(self, broker: RedisBroker) -> None:
        """The task that has the key is still there; and when it ends, it lets go."""
        await put(broker, first := one())
        self.server.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(BrokerUnavailable, match="maxmemory is reached"):
                await put(broker, one(on_duplicate=REPLACE))
            claim = await take_one(broker)
            assert claim.task.spec == first
            assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        finally:
            self.server.cli("CONFIG", "SET", "maxmemory", "0")
        self.nothing_is_left()

    async def test_a_hash_that_is_somebody_else_s(self, broker: RedisBroker) -> None:
        """No unique task goes in and nothing of it is touched; what is there already ends."""
        await put(broker, one(), one(unique_key="late", expires=NOW + 1), *some_tasks(2))
        self.server.cli("DEL", HASH)
        self.server.cli("SET", HASH, "data")
        with pytest.raises(BrokerUnusable, match=f"foreign data.*{HASH}"):
            await put(broker, one(unique_key="another"))
        claims = await take(broker, now=NOW + 1)
        assert len(claims) == 3
        for claim in claims:
            assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        assert await broker.count() == {"default": {State.DEAD: 1}}
        await put(broker, a_task())
        assert self.server.cli("GET", HASH) == "data"

    async def test_the_doctor_finds_nothing_amiss(self, broker: RedisBroker) -> None:
        """Who has which key is a queue's own, and no leftover."""
        await put(broker, one(), a_task())
        found = await diagnose(broker)
        for about in ("namespace", "queues", "leftovers"):
            assert of(found, about).grade is Grade.OK

    async def test_each_end_frees_just_its_own_key(self, broker: RedisBroker) -> None:
        """Of hundreds that end together, in three ways at once."""
        tasks = [
            one(unique_key=f"key {n}", retention=60 * (n % 2), expires=NOW + 1 + n % 3)
            for n in range(300)
        ]
        await put(broker, *tasks)
        kept = one(unique_key="key x")
        await put(broker, kept)
        for claim in await take(broker, 300, now=NOW + 2):
            if claim.task.id != kept.id:
                await end(broker, claim, Succeeded())
        assert self.server.cli("HKEYS", HASH) == ["key%20x"]

    def nothing_is_left(self) -> None:
        """Fail unless an empty queue is its meta alone."""
        keys = lasting(self.server.cli("KEYS", "*"))
        assert keys == {"qcore:queues", "qcore:{default}:meta"}


class TestUniqueOverTheBlockingLink(TestUnique):
    """It is the same over the link that blocks."""

    blocking = True


class TestOnACluster(RedisCases):
    """A queue's unique keys are where its tasks are."""

    blocking = True

    async def test_each_queue_s_keys_are_in_its_slot(self, empty_cluster: RedisCluster) -> None:
        """In one batch for queues of several nodes."""
        self.url = empty_cluster.url
        queues = [f"queue-{n}" for n in range(9)]
        async with self.opened() as broker:
            await put(broker, *(one(queue=queue) for queue in queues))
            answers = await broker.enqueue([one(queue=queue) for queue in queues], now=NOW)
            assert {type(answer) for answer in answers} == {Duplicate}
            for queue in queues:
                await end(broker, await take_one(broker, queue), Succeeded())
            await put(broker, *(one(queue=queue) for queue in queues))
        found = {
            key: node
            for node in empty_cluster.masters
            for key in node.cli("KEYS", "qcore:{*}:unique")
        }
        assert found.keys() == {f"qcore:{{{queue}}}:unique" for queue in queues}
        for queue in queues:
            tasks = empty_cluster.owner(f"qcore:{{{queue}}}:tasks")
            assert found[f"qcore:{{{queue}}}:unique"] is tasks
        assert len({*map(id, found.values())}) > 1


class TestLostReplies(CutReplies):
    """What was decided is answered, however often it is asked for."""

    async def test_a_unique_task_is_no_duplicate_of_itself(self, broker: RedisBroker) -> None:
        """It was enqueued by the call whose reply was cut."""
        await put(broker, a_task())
        cut = self.cut(ENQUEUE)
        assert await ask(broker, first := one()) == Enqueued(first.id, State.PENDING)
        assert cut.wait(PATIENCE)
        assert await ask(broker, one()) == Duplicate(first.id, State.PENDING)

    @pytest.mark.parametrize("name", ["0123456789abcdef" * 2, "20" * 16, "é: 1".replace(" ", "_")])
    async def test_a_duplicate_is_one_though_the_other_is_gone(
        self, broker: RedisBroker, name: str
    ) -> None:
        """It is told which one there was, whatever its id is made of, and nothing goes in."""
        await put(broker, first := one(id=name), taken := a_task())
        cut = self.cut(ENQUEUE, lambda other: step(execute_on(other, first, Deleted())))
        batch = [one(), fresh := a_task(), taken]
        assert await broker.enqueue(batch, now=NOW) == [
            Duplicate(name, State.PENDING),
            Enqueued(fresh.id, State.PENDING),
            Conflict(taken.id, State.PENDING),
        ]
        assert cut.wait(PATIENCE)
        assert await broker.count() == {"default": {State.PENDING: 2}}

    async def test_a_task_is_replaced_once(self, broker: RedisBroker) -> None:
        """What replaced it, and was run meanwhile, is not enqueued again."""
        await put(broker, first := one())
        cut = self.cut(ENQUEUE, lambda other: step(run(other)))
        second = one(on_duplicate=REPLACE)
        assert await ask(broker, second) == Enqueued(second.id, State.PENDING)
        assert cut.wait(PATIENCE)
        assert await find_task(broker, first) is None
        assert await broker.count() == {}

    async def test_a_key_is_let_go_once(self, broker: RedisBroker) -> None:
        """Another one had it before the reply was asked for again, and has it still."""
        claim = await a_claimed(broker, one())
        second = one()
        cut = self.cut(TRANSITION, lambda other: step(put(other, second)))
        assert await end(broker, claim, Succeeded()) == Settled(State.GONE)
        assert cut.wait(PATIENCE)
        assert await ask(broker, one()) == Duplicate(second.id, State.PENDING)


class TestLostRepliesOfTheBlockingLink(TestLostReplies):
    """It is the same over the link that blocks."""

    blocking = True


HOLDERS = {
    "empty": b"",
    "a word": b"word",
    "no id": b"- ",
    "binary": b"\xff\x00\xfe \n" * 9,
    "nobody": b"- nobody",
    "another": b"- other",
    "no moment": b"soon victim",
    "no number": b"nan victim",
    "long ago": b"-inf victim",
    "in hexadecimal": b"0x1 victim",
}
FACTS = {
    "none": b"a1|",
    "no key": b"a1-3 - 0.0 3 0|",
    "an empty key": b"a1-3 - 0.0 3 0 |",
    "another's key": b"a1-3 - 0.0 3 0 other|",
    "two keys": b"a1-3 - 0.0 3 0 the%20one other|",
    "no quotes": b"a1-3 - 0.0 3 0 %zz%|",
    "binary": b"a1-3 - 0.0 3 0 \xff\x00\xfe|",
    "no facts": b"a1x the%20one|",
    "no bar": b"a1-3 - 0.0 3 0 the%20one",
}


class TestTampering(RedisCases):
    """Whatever somebody writes over a key, or over who has it, all go on."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: RedisServer) -> None:
        server.flush()
        self.server, self.url = server, server.url

    @pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.ACTIVE])
    @pytest.mark.parametrize("choice", [REJECT, REPLACE])
    @pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
    async def test_who_has_a_key(
        self, broker: RedisBroker, holder: bytes, choice: str, state: State
    ) -> None:
        """Nobody has it of whom that cannot be: the next one has it, and none else is replaced."""
        victim = await bring_to(broker, state, one(id="victim"))
        await put(broker, other := one(id="other", unique_key="other"))
        with self.server.client() as client:
            client.hset(HASH, QUOTED, holder)
        second = one(on_duplicate=choice)
        assert await ask(broker, second) == Enqueued(second.id, State.PENDING)
        assert await stored_task(broker, other)
        assert await stored_task(broker, victim)
        third = one()
        assert await ask(broker, third) == Duplicate(second.id, State.PENDING)
        await self.all_end(broker)

    @pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.RETRY, State.ACTIVE])
    @pytest.mark.parametrize("order", [None, Cancelled(), Deleted()], ids=str)
    @pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
    async def test_which_key_a_task_has(
        self,
        broker: RedisBroker,
        facts: bytes,
        order: Cancelled | Deleted | None,
        state: State,
    ) -> None:
        """It ends as ever; the others keep theirs; and its own is free when it is no more."""
        victim = await bring_to(broker, state, one(id="victim"))
        await put(broker, other := one(id="other", unique_key="other", due=FAR))
        with self.server.client() as client:
            value = client.hget(TASKS, "victim")
            client.hset(TASKS, "victim", facts + value.partition(b"|")[2])
        if order is not None and state is not State.ACTIVE:
            await execute_on(broker, victim, order)
        await self.all_end(broker, but=other)
        await execute_on(broker, victim, Deleted())
        assert await ask(broker, one(unique_key="other")) == Duplicate("other", State.SCHEDULED)
        await put(broker, again := one())
        assert await ask(broker, one()) == Duplicate(again.id, State.PENDING)
        await self.all_end(broker)
        assert self.server.cli("EXISTS", HASH) == 0

    async def test_a_task_that_cannot_be_read_lets_go(self, broker: RedisBroker) -> None:
        """Condemned as it is claimed, it is dead, and its key is free."""
        await put(broker, first := one())
        with self.server.client() as client:
            value = client.hget(TASKS, self.encode_id(first))
            client.hset(TASKS, self.encode_id(first), value.partition(b"|")[0] + b"|\x93")
        assert await take(broker) == []
        assert (await stored_task(broker, first)).state is State.DEAD
        assert self.server.cli("EXISTS", HASH) == 0

    async def test_a_task_in_no_state_is_replaced_with_its_key(self, broker: RedisBroker) -> None:
        """Enqueued again, with another key or with none, it leaves the first key to others."""
        await put(broker, a_task(id="stray", unique_key="old"))
        self.server.cli("DEL", "qcore:{default}:pending")
        await put(broker, a_task(id="stray", unique_key="new"))
        assert self.server.cli("HGETALL", HASH) == {"new": "- stray"}

    def encode_id(self, task: NewTask) -> bytes:
        """Return the one name that is stored."""
        with self.server.client() as client:
            (name,) = client.hkeys(TASKS)
        assert isinstance(name, bytes), task
        return name

    async def all_end(self, broker: RedisBroker, *, but: NewTask | None = None) -> None:
        """Let workers run all there is, and an operator forget what has ended."""
        for n in range(6):
            now = LATER + n * 2 * LEASE
            for claim in await take(broker, now=now):
                await end(broker, claim, Succeeded(), now=now)
            await sweep_all(broker, now=now + LEASE)
        for state in State:
            for task in await browse_all(broker, state):
                if but is None or task.id != but.id:
                    await execute_on(broker, task.spec, Deleted())


async def run(broker: RedisBroker) -> None:
    """Run all there is to run."""
    for claim in await take(broker):
        await end(broker, claim, Succeeded())
