import asyncio
import re

import pytest

from qcore import BrokerUnavailable, NewTask, Qcore, connect
from qcore.adapters.links.redis import Link
from qcore.adapters.redis import RedisBroker, claim, settle
from qcore.adapters.wrappers import ForwardingBroker
from qcore.doctor import diagnose
from qcore.doctor.redis.task_lifecycle import check_lifecycle
from qcore.domain.diagnostics import Grade
from qcore.errors import BrokerUnusable
from qcore.testing.fakes import fake_redis_broker
from tests.adapters.asking import every_server
from tests.adapters.doctoring import LOAD, bad, examined, of, opened
from tests.servers.binaries import SERVERS, Binary
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer

MATTERS = [
    "connection",
    "version",
    "persistence",
    "eviction",
    "memory",
    "clients",
    "replication",
    "latency",
    "clock",
    "slow log",
    "permissions",
    "scripts",
    "wake-ups",
    "namespace",
    "queues",
    "leftovers",
    "workers",
]


# --- a server that is well -----------------------------------------------------------------------


async def test_every_matter_is_looked_at_and_nothing_is_left(own_redis: RedisServer) -> None:
    """An examination writes keys to try things out, and removes them all."""
    found = await examined(own_redis.url)
    assert [each.about for each in found] == MATTERS
    assert bad(found, "persistence", "memory", *LOAD) == []
    assert own_redis.cli("KEYS", "*") == []


async def test_a_server_that_is_set_up_well_has_nothing_to_mend() -> None:
    """With an append-only file and a limit of memory, all is well."""
    settings = ("appendonly yes", "appendfsync always", "maxmemory 500mb")
    with RedisServer(SERVERS[-1], *settings) as server:
        found = await examined(server.url)
    assert bad(found, *LOAD) == []
    assert "on the disk" in of(found, "persistence").found
    assert "of maxmemory 500.00M" in of(found, "memory").found
    assert of(found, "eviction").found.startswith("noeviction")


async def test_tasks_that_are_there_stay_as_they_are(own_redis: RedisServer) -> None:
    """What others have in the store is looked at, and not touched."""
    async with Qcore(own_redis.url, instruments=()) as q:
        await q.client.enqueue(NewTask("mail", id="mine", priority=3, retention=60))
        before = await q.inspector.get("default", "mine")
        keys = sorted(key for key in own_redis.cli("KEYS", "*") if ":session:" not in key)
        await examined(own_redis.url)
        assert sorted(key for key in own_redis.cli("KEYS", "*") if ":session:" not in key) == keys
        assert await q.inspector.get("default", "mine") == before


async def test_a_fake_tells_little_and_is_well() -> None:
    """What a server does not answer is no error of its."""
    broker = fake_redis_broker()
    found = await diagnose(broker)
    assert bad(found, "questions", *LOAD) == []
    assert "INFO, CONFIG GET" in of(found, "questions").found
    assert "a task lived" in of(found, "scripts").found
    assert await broker.link.command("KEYS", "*") == []
    await broker.close()


async def test_a_broker_inside_a_wrapper_is_examined() -> None:
    """Also where the wrapper is wrapped."""
    broker = fake_redis_broker()
    found = await diagnose(ForwardingBroker(ForwardingBroker(broker)))
    assert "a task lived" in of(found, "scripts").found
    await broker.close()


async def test_a_link_that_blocks_is_examined_too(own_redis: RedisServer) -> None:
    """A broker's blocking twin finds the same."""
    twin = connect(own_redis.url).blocking()
    assert isinstance(twin, RedisBroker)
    found = await diagnose(twin)
    await twin.close()
    assert [each.about for each in found] == MATTERS


# --- no way in -----------------------------------------------------------------------------------


async def test_nobody_who_listens_is_an_error_of_the_store() -> None:
    """Of a server that is not there, nothing more can be said."""
    with pytest.raises(BrokerUnavailable, match=f"{HOST}:"):
        await examined(f"redis://{HOST}:{free_port()}?timeout=0.2")


@every_server
async def test_a_password_is_asked_for(binary: Binary) -> None:
    """With the right one all is examined; of another, or none, that is all there is to say."""
    with RedisServer(binary, "requirepass s3cr3t") as server:
        place = f"{HOST}:{server.port}"
        found = await examined(f"redis://:s3cr3t@{place}")
        assert bad(found, "persistence", "memory", *LOAD) == []
        assert "s3cr3t" not in repr(found)
        for url in (f"redis://:s3cr3tx@{place}", f"redis://{place}"):
            with pytest.raises(BrokerUnusable) as refused:
                await examined(url)
            assert "s3cr3t" not in str(refused.value)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "limit", "grade"),
    [
        ("allkeys-lru", "100mb", Grade.WARNING),
        ("allkeys-random", "0", Grade.ADVICE),
        ("volatile-ttl", "100mb", Grade.ADVICE),
        ("noeviction", "100mb", Grade.OK),
    ],
)
async def test_a_policy_that_drops_tasks_is_a_warning(
    own_redis: RedisServer, policy: str, limit: str, grade: Grade
) -> None:
    """With no limit of memory it is advice; and so is one that drops what is remembered alone."""
    own_redis.cli("CONFIG", "SET", "maxmemory-policy", policy)
    own_redis.cli("CONFIG", "SET", "maxmemory", limit)
    told = of(await examined(own_redis.url), "eviction")
    assert told.grade is grade
    assert told.found.startswith(policy)
    assert grade is Grade.OK or "maxmemory-policy noeviction" in told.to_do


async def test_a_full_memory_is_an_error(own_redis: RedisServer) -> None:
    """A task cannot live there, and that is told as well."""
    own_redis.cli("CONFIG", "SET", "maxmemory", "1")
    found = await examined(f"{own_redis.url}?timeout=1")
    assert "takes no tasks" in of(found, "memory").found
    assert "maxmemory is reached" in of(found, "scripts").found
    assert of(found, "memory").grade is of(found, "scripts").grade is Grade.ERROR


async def test_too_few_replicas_are_an_error(own_redis: RedisServer) -> None:
    """Whether the server wants them, or the URL."""
    found = await examined(f"{own_redis.url}?replicas=1&replica_timeout=0.4&timeout=1")
    told = [each for each in found if each.grade is Grade.ERROR]
    assert [each.about for each in told] == ["replication", "scripts"]
    assert "replicas=1 in the URL, and 0 keep up" in told[0].found
    own_redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")
    found = await examined(f"{own_redis.url}?timeout=1")
    told = [each for each in found if each.grade is Grade.ERROR]
    assert [each.about for each in told] == ["replication", "scripts"]
    assert "min-replicas-to-write is 1, and 0 replicas" in told[0].found


async def test_a_replica_is_no_place_for_tasks(own_redis: RedisServer) -> None:
    """It tells whose it is."""
    own_redis.cli("REPLICAOF", HOST, "1")
    found = await examined(f"{own_redis.url}?timeout=1")
    told = of(found, "replication")
    assert told.grade is Grade.ERROR
    assert told.found.startswith(f"it is a replica of {HOST}:1")


async def test_a_slow_script_is_named(own_redis: RedisServer) -> None:
    """Of what the server finds slow, only what is ours counts."""
    own_redis.cli("CONFIG", "SET", "slowlog-log-slower-than", "0")
    own_redis.cli("EVAL", "return 1", "1", "other")
    async with opened(own_redis) as broker:
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
        await broker.next_due(["default"])
    own_redis.cli("EVAL", "return 2", "1", "qcore:{a}:meta")
    told = of(await examined(own_redis.url), "slow log").found
    assert re.search(r"of another version \d+\.\d ms", told)
    assert re.search(r"due \d+\.\d ms", told)
    own_redis.cli("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    assert of(await examined(own_redis.url), "slow log").found == "it is off"


# --- a life that goes wrong ----------------------------------------------------------------------


async def lived(link: Link) -> str:
    """Return what is found wrong with a life, and see that nothing is left of it."""
    [told] = await check_lifecycle(link, "qcore", "qcore-doctor-1")
    assert told.grade is Grade.ERROR
    assert await link.command("KEYS", "*") == []
    return told.found


async def test_a_life_that_breaks_off_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a task is removed like a whole one."""

    async def refuse(*_: object) -> list[object]:
        raise BrokerUnavailable("the cable was pulled")

    monkeypatch.setattr(settle, "settle", refuse)
    assert "cable" in await lived(fake_redis_broker().link)


async def test_a_life_that_goes_another_way_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that answers otherwise than it has to is told by the verb it is for."""

    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(claim, "extend", nothing)
    assert "extend answered []" in await lived(fake_redis_broker().link)


async def test_a_life_that_is_cancelled_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses Ctrl-C leaves no task behind."""
    reached = asyncio.Event()

    async def wait(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(claim, "next_due", wait)
    link = fake_redis_broker().link
    living = asyncio.create_task(check_lifecycle(link, "qcore", "qcore-doctor-1"))
    await reached.wait()
    living.cancel()
    with pytest.raises(asyncio.CancelledError):
        await living
    assert await link.command("KEYS", "*") == []
