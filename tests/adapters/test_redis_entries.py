"""Entries of periodic tasks as Redis keeps them, on real servers."""

import asyncio
from functools import partial

import pytest
from attrs import evolve

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.entries import AT_ONCE
from qcore.adapters.redis.scripts import DUE_ENTRIES, WRITE_ENTRY
from qcore.domain.answers import Conflict, Enqueued, QueueNotEmpty, QueueRemoved
from qcore.domain.diagnostics import Grade
from qcore.domain.ids import tick_id
from qcore.domain.periodic.changes import EntryChange, EntryWritten
from qcore.domain.periodic.entry import EntryState, StoredEntry, UnreadableEntry
from qcore.domain.states import State
from qcore.errors import BrokerUnavailable, BrokerUnusable
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import in_threads, step
from qcore.testing.contract.steps import ids, put, stored_task, take
from qcore.testing.entries import (
    an_entry,
    changed_entry,
    due,
    find_entry,
    made,
    put_entry,
    removed,
    stored_entry,
    tick,
    with_revision,
    write,
    written,
)
from tests.adapters.doctoring import examined
from tests.adapters.redis_kit import CutReplies, Pauses, RedisCases, broker_at, pauses
from tests.servers.cluster import RedisCluster
from tests.servers.redis import RedisServer

__all__ = ["pauses"]

PATIENCE = 30.0
QUEUE = "qcore:{default}:"
ENTRIES, IDS, WAKES = (f"{QUEUE}{name}" for name in ("entries", "entry-ids", "entry-wakes"))
AT = NOW + 60
SCHEDULERS, ROUNDS = 10, 8
WRITES = WRITE_ENTRY.digest.encode()


def calls_of(server: RedisServer) -> int:
    """Return how often scripts were called."""
    stats = server.cli("INFO", "commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))


class TestEntries(RedisCases):
    """What lies in Redis of entries, and what becomes of it."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    async def test_nothing_is_left_of_removed_entries(self, broker: RedisBroker) -> None:
        """No key; and nothing of the queue once that is removed."""
        for n in range(3):
            await put_entry(broker, an_entry(f"e{n}"))
        assert set(self.server.cli("KEYS", f"{QUEUE}entr*")) == {ENTRIES, IDS, WAKES}
        for n in range(3):
            assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(0, 3 - n)
            await written(broker, removed(await stored_entry(broker, f"e{n}")))
        assert self.server.cli("KEYS", f"{QUEUE}entr*") == []
        assert await broker.remove_queue("default", now=NOW) == QueueRemoved()
        assert self.server.cli("KEYS", "*") == []

    async def test_an_entry_makes_no_queue_of_tasks(self, broker: RedisBroker) -> None:
        """Its first tick does, and then a task is what it would be by an enqueue."""
        await put_entry(broker, an_entry())
        assert self.server.cli("EXISTS", f"{QUEUE}meta") == 0
        await tick(broker)
        await put(broker, a_task(id="other"))
        assert ids(await take(broker, now=AT)) == [tick_id("report", AT), "other"]

    async def test_who_looks_at_many_queues_makes_one_call(self, broker: RedisBroker) -> None:
        """As a scheduler does every few seconds, whether anything is due or not."""
        queues = [f"q{n}" for n in range(50)]
        await put_entry(broker, an_entry(queue="q7"))
        await due(broker, *queues, now=NOW)
        before = calls_of(self.server)
        assert (await due(broker, *queues, now=NOW)).next == AT
        assert calls_of(self.server) == before + 1

    async def test_a_conflict_leaves_nothing_behind(self, broker: RedisBroker) -> None:
        """Not even what is remembered of a request: of ten schedulers nine have one."""
        stored = await put_entry(broker, an_entry())
        await written(broker, removed(stored))
        self.server.flush()
        await write(broker, removed(stored))
        assert self.server.cli("KEYS", "*") == []

    async def test_two_tasks_of_one_id_are_answered_in_turn(self, broker: RedisBroker) -> None:
        """The second finds the first, as it would where each was enqueued by itself."""
        stored = await put_entry(broker, an_entry())
        tasks = [a_task(id="a", payload=b"1"), a_task(), a_task(id="a", payload=b"2"), a_task()]
        change = evolve(changed_entry(stored, with_revision(stored)), tasks=tuple(tasks))
        answer = await written(broker, change)
        assert [type(each) for each in answer.admissions] == [
            Enqueued,
            Enqueued,
            Conflict,
            Enqueued,
        ]
        assert (await stored_task(broker, tasks[0])).spec.payload == b"1"
        assert len(await take(broker)) == 3

    async def test_what_is_due_is_found_over_many_pages(self, broker: RedisBroker) -> None:
        """Though the last one of each page is gone, or was moved, before the next is read."""
        names = [f"e{n:04}" for n in range(3 * AT_ONCE)]
        changes = [
            changed_entry(None, StoredEntry(an_entry(name), EntryState(NOW, NOW, NOW)))
            for name in names
        ]
        await broker.write_entries(changes, now=NOW)
        found = await due(broker, now=NOW)
        assert [each.stored.id for each in found.entries] == names
        for spoil in (("ZREM", WAKES, names[AT_ONCE - 1]), ("ZADD", WAKES, NOW - 9, names[50])):
            self.server.cli(*spoil)
            found = await due(broker, now=NOW)
            assert {*names} - {each.stored.id for each in found.entries} <= {names[AT_ONCE - 1]}

    async def test_a_full_server_writes_no_half(self, broker: RedisBroker, pauses: Pauses) -> None:
        """Neither the entry nor its tasks; it removes entries all the same, and room comes."""
        stored = await put_entry(broker, an_entry())
        self.server.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(BrokerUnavailable, match="maxmemory is reached"):
                await tick(broker)
            with pytest.raises(BrokerUnavailable, match="maxmemory is reached"):
                await put_entry(broker, an_entry("new"))
            assert pauses.taken
            assert await stored_entry(broker) == stored
            await written(broker, removed(stored))
        finally:
            self.server.cli("CONFIG", "SET", "maxmemory", "0")
        assert await broker.count() == {}
        assert await broker.entry_queues() == []

    async def test_a_key_of_somebody_elses_keeps_a_tick_whole(self, broker: RedisBroker) -> None:
        """It is named before anything is written; what to do helps."""
        stored = await put_entry(broker, an_entry())
        self.server.cli("SET", f"{QUEUE}dead", "theirs")
        with pytest.raises(BrokerUnusable, match="holds foreign data"):
            await tick(broker)
        assert await stored_entry(broker) == stored
        self.server.cli("DEL", f"{QUEUE}dead")
        assert made(await tick(broker)) == 1

    async def test_ten_schedulers_make_each_tick_once(self, broker: RedisBroker) -> None:
        """Each with a connection and a thread of its own, of which none waits for another."""
        names = [f"e{n}" for n in range(3)]
        for name in names:
            # who is ahead of the others makes up for what they have not made yet
            await put_entry(broker, an_entry(name, missed="all"))

        def schedule() -> int:
            mine = broker_at(self.url).blocking()
            answers = [
                answer
                for n in range(1, ROUNDS + 1)
                for _ in range(2)
                for answer in step(tick(mine, now=NOW + 60 * n))
            ]
            step(mine.close())
            return len(answers) - made(answers)

        conflicts = in_threads([schedule] * SCHEDULERS)
        assert sum(conflicts) > 0, "they never met"
        claimed = ids(await take(broker, 1_000, now=NOW + 60 * ROUNDS))
        expected = {tick_id(name, NOW + 60 * n) for name in names for n in range(1, ROUNDS + 1)}
        assert len(claimed) == len(set(claimed))
        assert set(claimed) == expected


class TestOddEntries(RedisCases):
    """What somebody has put there by hand is shown and never fired, and keeps no other back."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    def remedies(self, about: str) -> list[str]:
        """Return what the doctor says is to be done."""
        # no loop runs here: the broker is a blocking one
        found = asyncio.run(examined(self.url))
        return [each.to_do for each in found if each.about == about and each.grade is not Grade.OK]

    @pytest.mark.parametrize("stored", [b"", b"?", b"x {}", b"{}", b"abc", b"\xff\x00", b"ab1 {}"])
    async def test_what_has_been_edited_is_shown_and_replaced(
        self, broker: RedisBroker, stored: bytes
    ) -> None:
        """Whatever stands in its place, it has a revision; the entry after it ticks."""
        await put_entry(broker, an_entry("a"))
        await put_entry(broker, an_entry("b"))
        with self.server.client() as client:
            client.hset(ENTRIES, "a", stored)
        found = await find_entry(broker, "a")
        assert isinstance(found, UnreadableEntry)
        assert found.why
        assert [each.id for each in await broker.browse_entries("default", 9)] == ["a", "b"]
        assert [each.stored.id for each in (await due(broker)).entries] == ["b"]
        assert made(await tick(broker)) == 1
        await written(broker, EntryChange("default", "a", found.revision, None))
        assert await find_entry(broker, "a") is None

    async def test_an_entry_whose_content_was_removed_is_shown_and_removed(
        self, broker: RedisBroker
    ) -> None:
        """It would keep its queue from being removed for ever."""
        await put_entry(broker, an_entry())
        self.server.cli("HDEL", ENTRIES, "report")
        assert await find_entry(broker) is None
        assert list((await due(broker)).entries) == []
        [found] = await broker.browse_entries("default", 9)
        assert isinstance(found, UnreadableEntry)
        assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(0, 1)
        await written(broker, EntryChange("default", "report", found.revision, None))
        assert await broker.remove_queue("default", now=NOW) == QueueRemoved()
        assert self.server.cli("KEYS", "*") == []

    @pytest.mark.parametrize("score", [NOW - 1, "-inf"])
    async def test_a_moment_that_was_edited_fires_nothing_early(
        self, broker: RedisBroker, score: float | str
    ) -> None:
        """What counts is the entry; it is found again at its own moment."""
        await put_entry(broker, an_entry())
        self.server.cli("ZADD", WAKES, score, "report")
        assert list((await due(broker, now=NOW)).entries) == []
        assert [each.stored.id for each in (await due(broker)).entries] == ["report"]

    async def test_an_endless_moment_is_none(self, broker: RedisBroker) -> None:
        """Nobody waits for it."""
        await put_entry(broker, an_entry())
        self.server.cli("ZADD", WAKES, "inf", "report")
        assert (await due(broker, now=NOW)).next is None

    @pytest.mark.parametrize("key", ["entries", "entry-ids", "entry-wakes", "meta"])
    async def test_a_key_of_another_type_keeps_no_other_queue_back(
        self, broker: RedisBroker, key: str
    ) -> None:
        """It is an error by itself, nothing is overwritten, and the doctor names it."""
        spoiled = f"qcore:{{bad}}:{key}"
        await put_entry(broker, an_entry(queue="bad"))
        await put_entry(broker, an_entry(queue="good"))
        self.server.cli("DEL", spoiled)
        self.server.cli("SET", spoiled, "theirs")
        found = await due(broker, "bad", "good", now=AT)
        assert [each.stored.queue for each in found.entries] == ["good"]
        assert "good" in await broker.entry_queues()
        assert made(await tick(broker, "bad", "good")) == 1
        for call in (
            partial(due, broker, "bad"),
            partial(broker.browse_entries, "bad", 9),
            partial(put_entry, broker, an_entry("other", queue="bad")),
            partial(broker.remove_queue, "bad", now=NOW),
        ):
            with pytest.raises(BrokerUnusable, match=r"holds (foreign data|what is not ours)"):
                await call()
        assert self.server.cli("GET", spoiled) == "theirs"
        assert self.remedies("queues")

    async def test_a_queue_of_a_newer_qcore_keeps_no_other_back(self, broker: RedisBroker) -> None:
        """Its entries may be laid out otherwise: none is written there."""
        for queue in ("bad", "good"):
            await put_entry(broker, an_entry(queue=queue))
            await put(broker, a_task(queue=queue))
        self.server.cli("HSET", "qcore:{bad}:meta", "version", "3")
        assert made(await tick(broker, "bad", "good")) == 1
        with pytest.raises(BrokerUnusable, match="newer qcore"):
            await put_entry(broker, an_entry("other", queue="bad"))

    async def test_the_doctor_takes_entries_for_ours(self, broker: RedisBroker) -> None:
        """Their keys are no foreign ones, and their queues are registered."""
        await put_entry(broker, an_entry())
        assert self.remedies("namespace") == []
        self.server.cli("DEL", "qcore:queues")
        assert self.remedies("namespace") == ["SADD qcore:queues default"]
        self.server.cli("SADD", "qcore:queues", "default")
        self.server.cli("DEL", "qcore:entry-queues")
        assert self.remedies("namespace") == ["SADD qcore:entry-queues default"]


async def test_a_bad_queue_of_a_cluster_keeps_no_other_back(empty_cluster: RedisCluster) -> None:
    """There each is asked by itself, if it has entries; where none can be read, it is an error."""
    broker = broker_at(empty_cluster.url)
    calls = sum(calls_of(node) for node in empty_cluster.masters)
    assert (await due(broker, *(f"none{n}" for n in range(20)))).next is None
    assert sum(calls_of(node) for node in empty_cluster.masters) == calls
    names = [f"q{n}" for n in range(6)]
    for queue in names:
        await put_entry(broker, an_entry(queue=queue))
    spoiled = "qcore:{q3}:entry-wakes"
    empty_cluster.owner(spoiled).cli("DEL", spoiled)
    empty_cluster.owner(spoiled).cli("SET", spoiled, "theirs")
    found = await due(broker, *names)
    assert [each.stored.queue for each in found.entries] == ["q0", "q1", "q2", "q4", "q5"]
    with pytest.raises(BrokerUnusable, match="holds foreign data"):
        await due(broker, "q3")
    await broker.close()


class TestLostRepliesOfEntries(CutReplies):
    """A reply that was cut after the work was done is asked for again; the work is done once."""

    async def test_a_tick_is_made_once_and_answered_as_made(self, broker: RedisBroker) -> None:
        """Its answer is that of the first request, and not the conflict that it would be now."""
        await put_entry(broker, an_entry(missed="all"))
        cut = self.cut(WRITE_ENTRY)
        [answer] = await tick(broker, now=NOW + 600)
        assert cut.wait(PATIENCE)
        assert isinstance(answer, EntryWritten)
        tasks = [tick_id("report", NOW + 60 * n) for n in range(1, 11)]
        assert list(answer.admissions) == [Enqueued(each, State.PENDING) for each in tasks]
        assert (await stored_entry(broker)).revision == answer.revision
        assert ids(await take(broker, now=NOW + 600)) == tasks

    async def test_a_tick_was_made_though_others_have_gone_on(self, broker: RedisBroker) -> None:
        """Another scheduler made the next one before this one asked again."""
        await put_entry(broker, an_entry())
        cut = self.cut(WRITE_ENTRY, lambda other: step(tick(other, now=AT + 60)))
        [answer] = await tick(broker)
        assert cut.wait(PATIENCE)
        assert isinstance(answer, EntryWritten)
        assert (await stored_entry(broker)).revision != answer.revision
        assert ids(await take(broker, now=AT + 60)) == [
            tick_id("report", AT),
            tick_id("report", AT + 60),
        ]

    async def test_an_entry_is_removed_once(self, broker: RedisBroker) -> None:
        """One of its id that was added since is not that which was to be removed."""
        stored = await put_entry(broker, an_entry())
        cut = self.cut(WRITE_ENTRY, lambda other: step(put_entry(other, an_entry())))
        assert await written(broker, removed(stored)) == EntryWritten(None, [])
        assert cut.wait(PATIENCE)
        assert (await stored_entry(broker)).revision != stored.revision

    async def test_a_batch_is_made_once(self, broker: RedisBroker) -> None:
        """Of the calls that were on their way together, some were answered."""
        for queue in "abc":
            await put_entry(broker, an_entry(queue=queue))
        cut = self.proxy.cut_reply(lambda request: b"{b}" in request and WRITES in request)
        assert made(await tick(broker, "a", "b", "c")) == 3
        assert cut.wait(PATIENCE)
        assert await broker.count() == {queue: {State.PENDING: 1} for queue in "abc"}

    async def test_who_looks_is_answered(self, broker: RedisBroker) -> None:
        """To look changes nothing, as often as it is asked for."""
        stored = await put_entry(broker, an_entry())
        cut = self.cut(DUE_ENTRIES)
        assert [each.stored for each in (await due(broker)).entries] == [stored]
        assert cut.wait(PATIENCE)


class TestLostRepliesOfEntriesOfTheBlockingLink(TestLostRepliesOfEntries):
    """It is the same over the link that blocks."""

    blocking = True
