"""What is found at real servers, and that nothing is left there."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files

import pytest

from qcore import BrokerUnavailable, BrokerUnusable, NewTask, Qcore, connect
from qcore.adapters.links.redis import Link
from qcore.adapters.redis import RedisBroker, claim, settle
from qcore.adapters.redis.doctor.asking import Questions
from qcore.adapters.redis.doctor.life import life
from qcore.adapters.redis.doctor.permissions import harmless, lacking
from qcore.adapters.redis.doctor.queues import KNOWN, leftovers, looks
from qcore.adapters.redis.keys import Keys
from qcore.adapters.redis.store import Store
from qcore.domain.findings import Grade
from qcore.domain.task import Keep
from qcore.testing.fakes import fake_redis_broker
from tests.adapters.asking import every_server
from tests.adapters.doctoring import bad, examined, of
from tests.servers.binaries import SERVERS, Binary
from tests.servers.cluster import RedisCluster
from tests.servers.ports import free_port
from tests.servers.redis import HOST, RedisServer
from tests.servers.sentinel import SentinelSet
from tests.servers.waiting import until

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
SENT = {"eval", "evalsha", "ping", "sadd", "smembers", "subscribe", "time", "unsubscribe"}
"""Commands that no script calls."""
LOAD = "latency", "slow log"
"""What a busy machine may find fault with."""


@asynccontextmanager
async def opened(server: RedisServer) -> AsyncIterator[RedisBroker]:
    """Lend a broker on a server."""
    broker = connect(server.url)
    assert isinstance(broker, RedisBroker)
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture
def server(empty_redis: RedisServer) -> Iterator[RedisServer]:
    """Give a server without data that may be set otherwise while a test runs."""
    names = "maxmemory", "maxmemory-policy", "min-replicas-to-write", "slowlog-log-slower-than"
    before = [empty_redis.cli("CONFIG", "GET", name)[1] for name in names]
    empty_redis.cli("SLOWLOG", "RESET")
    yield empty_redis
    empty_redis.cli("REPLICAOF", "NO", "ONE")
    for name, value in zip(names, before, strict=True):
        empty_redis.cli("CONFIG", "SET", name, value)
    for user in empty_redis.cli("ACL", "USERS"):
        if user != "default":
            empty_redis.cli("ACL", "DELUSER", user)


# --- a server that is well ----------------------------------------------------------------------


async def test_every_matter_is_looked_at_and_nothing_is_left(server: RedisServer) -> None:
    """An examination writes keys to try things out, and removes them all."""
    found = await examined(server.url)
    assert [each.about for each in found] == MATTERS
    assert bad(found, "persistence", "memory", *LOAD) == []
    assert server.cli("KEYS", "*") == []


async def test_a_server_that_is_set_up_well_has_nothing_to_mend() -> None:
    """With an append-only file and a limit of memory, all is well."""
    settings = ("appendonly yes", "appendfsync always", "maxmemory 500mb")
    with RedisServer(SERVERS[-1], *settings) as server:
        found = await examined(server.url)
    assert bad(found, *LOAD) == []
    assert "on the disk" in of(found, "persistence").found
    assert "of maxmemory 500.00M" in of(found, "memory").found
    assert of(found, "eviction").found.startswith("noeviction")


async def test_tasks_that_are_there_stay_as_they_are(server: RedisServer) -> None:
    """What others have in the store is looked at, and not touched."""
    async with Qcore(server.url, instruments=()) as q:
        await q.client.enqueue(NewTask("mail", id="mine", priority=3, retention=60))
        before = await q.inspector.get("default", "mine")
        keys = sorted(key for key in server.cli("KEYS", "*") if ":lane:" not in key)
        await examined(server.url)
        assert sorted(key for key in server.cli("KEYS", "*") if ":lane:" not in key) == keys
        assert await q.inspector.get("default", "mine") == before


async def test_a_fake_tells_little_and_is_well() -> None:
    """What a server does not answer is no error of its."""
    broker = fake_redis_broker()
    found = await broker.examine()
    assert bad(found, "questions", *LOAD) == []
    assert "INFO, CONFIG GET" in of(found, "questions").found
    assert "a task lived" in of(found, "scripts").found
    assert await broker.link.command("KEYS", "*") == []
    await broker.close()


async def test_a_link_that_blocks_is_examined_too(server: RedisServer) -> None:
    """A broker's blocking twin finds the same."""
    twin = connect(server.url).blocking()
    assert isinstance(twin, RedisBroker)
    found = await twin.examine()
    await twin.close()
    assert [each.about for each in found] == MATTERS


# --- no way in ----------------------------------------------------------------------------------


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


# --- permissions --------------------------------------------------------------------------------


def needed(keys: Keys) -> list[str]:
    """Return the names of all commands that qcore sends to one server."""
    words = [command[0] for command in harmless(keys, "queue", None)]
    return [str(word).lower() for word in (*words, "SADD", "SUBSCRIBE")]


def test_just_the_commands_that_are_sent_or_called_are_tried() -> None:
    """A script that calls another one would be refused to a user of whom all seemed well."""
    folder = files("qcore.adapters.redis") / "lua"
    texts = [path.read_text() for path in folder.iterdir() if path.name.endswith(".lua")]
    called = {name for text in texts for name in re.findall(r"'([A-Z]{3,})'[,)]", text)}
    called -= {"LIMIT", "WITHSCORES", "PX", "NX", "XX"}
    assert {name.lower() for name in called} | SENT == set(needed(Keys("qcore")))


async def test_the_rules_that_are_named_are_enough(server: RedisServer) -> None:
    """A user who may do just these, on our keys and channels alone, may do all that qcore does."""
    rules = [f"+{name}" for name in needed(Keys("qcore"))]
    setname = "+client|setname" if server.binary.version >= (7,) else "+client"
    server.cli(
        "ACL", "SETUSER", "ann", "on", ">s3cr3t", "~qcore:*", "resetchannels", "&qcore:*",
        "-@all", setname, *rules,
    )  # fmt: skip
    found = await examined(server.url.replace("//", "//ann:s3cr3t@"))
    for about in ("permissions", "scripts", "wake-ups"):
        assert of(found, about).grade is Grade.OK
    assert "+info" in of(found, "questions").to_do
    assert "ACL SETUSER ann" in of(found, "questions").to_do
    assert server.cli("KEYS", "*") == []


async def test_each_rule_that_is_missing_is_named(server: RedisServer) -> None:
    """Just that rule, in the words of ACL SETUSER; and it is what has to be added."""
    keys = Keys("qcore")
    server.cli(
        "ACL", "SETUSER", "ann", "on", ">s3cr3t", "~qcore:*", "resetchannels", "&qcore:*", "+@all"
    )
    for name in needed(keys):
        server.cli("ACL", "SETUSER", "ann", f"-{name}")
        expected = [f"+{name}", "+sadd"] if name == "pexpire" else [f"+{name}"]
        rules = await lacking_of(server, keys)
        # without PEXPIRE there is no way to try SADD without a trace
        assert rules == expected[: len(rules)], name
        server.cli("ACL", "SETUSER", "ann", *rules)
        assert await lacking_of(server, keys) == []
    assert server.cli("KEYS", "*") == []


async def lacking_of(server: RedisServer, keys: Keys) -> list[str]:
    """Return which rules the user ann lacks."""
    broker = connect(server.url.replace("//", "//ann:s3cr3t@"))
    assert isinstance(broker, RedisBroker)
    around = await broker.link.around()
    rules = await lacking(broker.link, around.servers, keys, "qcore-doctor-1", around.manner)
    await broker.close()
    return rules


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (["~other:*", "&qcore:*", "+@all"], {"~qcore:*"}),
        (["~qcore:*", "+@all"], {"&qcore:*"}),
        (["~qcore:*", "+@all", "-publish", "-subscribe"], {"+publish", "+subscribe", "&qcore:*"}),
        (["+@all", "-zadd"], {"+zadd", "~qcore:*", "&qcore:*"}),
    ],
    ids=str,
)
async def test_keys_and_channels_out_of_reach_are_named(
    server: RedisServer, rules: list[str], missing: set[str]
) -> None:
    """So are they where no command is left that could try them."""
    server.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "resetchannels", *rules)
    found = await examined(server.url.replace("//", "//ann:s3cr3t@"))
    told = of(found, "permissions")
    assert told.grade is Grade.ERROR
    assert set(told.found.removeprefix("user ann lacks ").split()) == missing
    assert "scripts" not in [each.about for each in found]


async def test_a_namespace_has_rules_of_its_own(server: RedisServer) -> None:
    """The rules name the keys and the channels of the URL's namespace."""
    server.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "resetchannels", "~qcore:*", "+@all")
    found = await examined(f"{server.url.replace('//', '//ann:s3cr3t@')}?namespace=shop")
    assert {"~shop:*", "&shop:*"} <= set(of(found, "permissions").found.split())


async def test_a_user_who_cannot_even_come_in_is_told_all_the_same(server: RedisServer) -> None:
    """Without TIME a link does not open; what else is missing is told at once."""
    server.cli(
        "ACL", "SETUSER", "ann", "on", ">s3cr3t", "~qcore:*", "allchannels", "+@all", "-time", "-zadd"
    )
    [told] = await examined(server.url.replace("//", "//ann:s3cr3t@"))
    assert told.found == "user ann lacks +time +zadd"
    server.cli("ACL", "SETUSER", "ann", "-client")
    [told] = await examined(server.url.replace("//", "//ann:s3cr3t@"))
    assert re.fullmatch(r"user ann lacks \+client(\|setname)?", told.found)


# --- settings -----------------------------------------------------------------------------------


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
    server: RedisServer, policy: str, limit: str, grade: Grade
) -> None:
    """With no limit of memory it is advice; and so is one that drops what is remembered alone."""
    server.cli("CONFIG", "SET", "maxmemory-policy", policy)
    server.cli("CONFIG", "SET", "maxmemory", limit)
    told = of(await examined(server.url), "eviction")
    assert told.grade is grade
    assert told.found.startswith(policy)
    assert grade is Grade.OK or "maxmemory-policy noeviction" in told.to_do


async def test_a_full_memory_is_an_error(server: RedisServer) -> None:
    """A task cannot live there, and that is told as well."""
    server.cli("CONFIG", "SET", "maxmemory", "1")
    found = await examined(f"{server.url}?timeout=0.2")
    assert "takes no tasks" in of(found, "memory").found
    assert "maxmemory is reached" in of(found, "scripts").found
    assert of(found, "memory").grade is of(found, "scripts").grade is Grade.ERROR


async def test_too_few_replicas_are_an_error(server: RedisServer) -> None:
    """Whether the server wants them, or the URL."""
    found = await examined(f"{server.url}?replicas=1&replica_timeout=0.1&timeout=0.2")
    told = [each for each in found if each.grade is Grade.ERROR]
    assert [each.about for each in told] == ["replication", "scripts"]
    assert "replicas=1 in the URL, and 0 keep up" in told[0].found
    server.cli("CONFIG", "SET", "min-replicas-to-write", "1")
    found = await examined(f"{server.url}?timeout=0.2")
    told = [each for each in found if each.grade is Grade.ERROR]
    assert [each.about for each in told] == ["replication", "scripts"]
    assert "min-replicas-to-write is 1, and 0 replicas" in told[0].found


async def test_a_replica_is_no_place_for_tasks(server: RedisServer) -> None:
    """It tells whose it is."""
    server.cli("REPLICAOF", HOST, "1")
    found = await examined(f"{server.url}?timeout=0.2")
    told = of(found, "replication")
    assert told.grade is Grade.ERROR
    assert told.found.startswith(f"it is a replica of {HOST}:1")


async def test_a_slow_script_is_named(server: RedisServer) -> None:
    """Of what the server finds slow, only what is ours counts."""
    server.cli("CONFIG", "SET", "slowlog-log-slower-than", "0")
    server.cli("EVAL", "return 1", "1", "other")
    async with opened(server) as broker:
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
        await broker.next_due(["default"])
    server.cli("EVAL", "return 2", "1", "qcore:{a}:meta")
    told = of(await examined(server.url), "slow log").found
    assert re.search(r"of another version \d+\.\d ms", told)
    assert re.search(r"due \d+\.\d ms", told)
    server.cli("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    assert of(await examined(server.url), "slow log").found == "it is off"


# --- what is stored -----------------------------------------------------------------------------


async def test_a_queue_of_a_newer_qcore_is_an_error(server: RedisServer) -> None:
    """It names the formats, its own and the other one."""
    server.cli("SADD", "qcore:queues", "mail")
    server.cli("HSET", "qcore:{mail}:meta", "version", KNOWN + 1)
    told = of(await examined(server.url), "queues")
    assert told.grade is Grade.ERROR
    assert told.found.startswith("mail was written by a newer qcore: format 2")
    assert told.to_do == "upgrade this qcore"


def test_the_format_that_is_known_is_the_scripts() -> None:
    """A new format of the scripts is known here, too."""
    text = (files("qcore.adapters.redis") / "lua" / "common.lua").read_text()
    assert f"local VERSION = {KNOWN}\n" in text


@pytest.mark.parametrize(
    ("command", "about", "words"),
    [
        ("SET qcore:{default}:tasks x", "queues", "qcore:{default}:tasks is a string"),
        ("SET qcore:{other}:meta x", "queues", "qcore:{other}:meta is a string"),
        ("HSET qcore:{default}:tasks a b", "queues", "nothing tells by whom"),
        ("HSET qcore:{default}:meta version new", "queues", "format new"),
        ("SET qcore:queues x", "namespace", "no queue can be made"),
    ],
)
async def test_foreign_data_under_our_keys_are_an_error(
    server: RedisServer, command: str, about: str, words: str
) -> None:
    """The key is named, and nothing of it is changed."""
    server.cli(*command.split())
    found = await examined(server.url)
    told = [each for each in found if each.about == about and words in each.found]
    assert [each.grade for each in told] == [Grade.ERROR]
    assert server.cli("DBSIZE") == 1


async def test_keys_that_are_nobody_s_are_advice(server: RedisServer) -> None:
    """They are in nobody's way; of other namespaces there is nothing to say."""
    for key in ("qcore:notes", "qcore:{a}:other", "qcorex:{a}:tasks", "other"):
        server.cli("SET", key, "x")
    told = of(await examined(server.url), "namespace")
    assert told.grade is Grade.ADVICE
    assert told.found.startswith("2 keys under qcore: are not qcore's, such as qcore:notes")


async def test_marks_in_a_namespace_are_no_pattern(server: RedisServer) -> None:
    """Keys of a namespace that another one's marks would match are not taken for its."""
    server.cli("SET", "shop1:notes", "x")
    found = await examined(f"{server.url}?namespace=shop[0-9]*")
    assert of(found, "namespace").grade is Grade.OK


async def test_a_queue_that_the_registry_has_lost_is_a_warning(server: RedisServer) -> None:
    """What to do about it helps."""
    async with opened(server) as broker:
        await broker.enqueue([NewTask("mail", id="a", queue="post")], now=broker.time())
    server.cli("DEL", "qcore:queues")
    told = of(await examined(server.url), "namespace")
    assert told.grade is Grade.WARNING
    assert "does not name 1 queues that are there: post" in told.found
    server.cli(*told.to_do.split())
    assert of(await examined(server.url), "namespace").grade is Grade.OK


@pytest.mark.parametrize(
    ("amiss", "grade", "words"),
    [
        (("ZREMRANGEBYRANK", "qcore:{default}:pending", 0, 0), Grade.WARNING, "such as a:"),
        (("HDEL", "qcore:{default}:tasks", "a"), Grade.ADVICE, "1 places are of tasks"),
        (("HSET", "qcore:{default}:progress", "x", "1", "y", "2", "z", "3"), Grade.ADVICE, "1 rec"),
    ],
    ids=["a task in no state", "a place without a task", "a record without a task"],
)
async def test_what_does_not_fit_together_is_found(
    server: RedisServer, amiss: tuple[str, ...], grade: Grade, words: str
) -> None:
    """Tasks that nobody would run are a warning, what only counts wrong is advice."""
    async with opened(server) as broker:
        tasks = [NewTask("mail", id="a"), NewTask("mail", id="b")]
        await broker.enqueue(tasks, now=broker.time())
    assert of(await examined(server.url), "leftovers").grade is Grade.OK
    server.cli(*amiss)
    told = of(await examined(server.url), "leftovers")
    assert told.grade is grade
    assert words in told.found


async def test_to_enqueue_a_leftover_again_mends_it(server: RedisServer) -> None:
    """As its finding says."""
    async with opened(server) as broker:
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
        server.cli("DEL", "qcore:{default}:pending")
        assert "under their ids" in of(await examined(server.url), "leftovers").to_do
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
    assert of(await examined(server.url), "leftovers").grade is Grade.OK


async def test_what_only_seemed_amiss_for_a_moment_is_nothing() -> None:
    """Tasks move while they are counted: what is amiss is looked at again."""
    broker = fake_redis_broker()
    keys, questions = Keys("qcore"), Questions()
    await broker.enqueue([NewTask("mail", id="a")], now=1.0)
    pending = keys.of("default")[2]
    [(member, score)] = [
        (row[0], row[1]) for row in [await broker.link.command("ZRANGE", pending, 0, 0, "WITHSCORES")]
    ]
    await broker.link.command("ZREM", pending, member)
    spots = (await broker.link.around()).servers
    [look] = await looks(spots, keys, ["default"], 2.0, questions)
    assert look.stray == 1
    await broker.link.command("ZADD", pending, score, member)
    store = Store(broker.link, Keep(), "qcore")
    [told] = await leftovers(store, spots, [look], questions)
    assert told.grade is Grade.OK
    await broker.close()


async def test_queues_that_nobody_serves_are_a_warning(server: RedisServer) -> None:
    """With somebody who listens for each of them, all is well."""
    async with opened(server) as broker:
        now = broker.time()
        later = NewTask("mail", id="b", queue="low", due=now + 3_600)
        soon = NewTask("mail", id="c", queue="high", due=now + 0.001)
        await broker.enqueue([NewTask("mail", id="a"), later, soon], now=now)
        ear = await broker.listen(["default"], lambda: None)
        until(lambda: broker.time() > now + 0.001, "the task to be due")
        [told] = [each for each in await examined(server.url) if each.about == "workers"]
        assert told.grade is Grade.WARNING
        assert told.found == "high: 1 tasks wait, and no worker listens"
        other = await broker.listen(["high"], lambda: None)
        told = of(await examined(server.url), "workers")
        assert told.grade is Grade.OK
        await ear.close()
        await other.close()


# --- a life that goes wrong ---------------------------------------------------------------------


async def lived(link: Link) -> str:
    """Return what is found wrong with a life, and see that nothing is left of it."""
    [told] = await life(link, "qcore", "qcore-doctor-1")
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
    living = asyncio.create_task(life(link, "qcore", "qcore-doctor-1"))
    await reached.wait()
    living.cancel()
    with pytest.raises(asyncio.CancelledError):
        await living
    assert await link.command("KEYS", "*") == []


# --- several servers ----------------------------------------------------------------------------


async def test_sentinels_are_asked_too(empty_sentinel: SentinelSet) -> None:
    """They agree on the master, which has a replica."""
    found = await examined(empty_sentinel.url)
    assert "3 agree on" in of(found, "sentinels").found
    assert "min-replicas-to-write" in of(found, "replication").to_do
    assert bad(found, "persistence", "memory", "replication", *LOAD) == []
    assert empty_sentinel.master.cli("KEYS", "*") == []


async def test_a_sentinel_that_is_away_is_a_warning(empty_sentinel: SentinelSet) -> None:
    """The others are asked all the same."""
    missing = f"{HOST}:{free_port()}"
    found = await examined(empty_sentinel.url.replace("//", f"//{missing},"))
    told = [each for each in found if each.about == "sentinels"]
    assert [each.grade for each in told] == [Grade.WARNING, Grade.OK]
    assert told[0].found.startswith(f"{missing} does not answer")


async def test_each_master_of_a_cluster_is_examined(empty_cluster: RedisCluster) -> None:
    """What is so of all is said once, and what is not names its server."""
    found = await examined(empty_cluster.url)
    assert "every slot is served, by 3 masters" in of(found, "cluster").found
    assert of(found, "version").found.startswith("all 3 servers: Redis")
    assert bad(found, "persistence", "memory", "replication", *LOAD) == []
    assert [node.cli("KEYS", "*") for node in empty_cluster.masters] == [[], [], []]


async def test_what_waits_on_a_cluster_and_who_listens_there(empty_cluster: RedisCluster) -> None:
    """Whoever listens is connected to any of its servers; queues are spread over them."""
    queues = [f"queue-{n}" for n in range(8)]
    broker = connect(empty_cluster.url)
    await broker.open()
    tasks = [NewTask("mail", id=queue, queue=queue) for queue in queues]
    await broker.enqueue(tasks, now=1.0)
    ears = [await broker.listen([queue], lambda: None) for queue in queues[1:]]
    found = await examined(empty_cluster.url)
    assert of(found, "workers").found == "queue-0: 1 tasks wait, and no worker listens"
    assert of(found, "queues").found.startswith("8 there")
    for ear in ears:
        await ear.close()
    await broker.close()


async def test_a_permission_that_one_master_lacks_is_found(empty_cluster: RedisCluster) -> None:
    """Users of a cluster are each server's own."""
    for node in empty_cluster.nodes:
        node.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "~*", "allchannels", "+@all")
    empty_cluster.nodes[1].cli("ACL", "SETUSER", "ann", "-zadd")
    found = await examined(empty_cluster.url.replace("//", "//ann:s3cr3t@"))
    assert of(found, "permissions").found == "user ann lacks +zadd"
    for node in empty_cluster.nodes:
        node.cli("ACL", "DELUSER", "ann")


async def test_a_cluster_that_lost_a_master_is_an_error() -> None:
    """It says which is away, and that queues are."""
    with RedisCluster(SERVERS[-1]) as cluster:
        lost = cluster.nodes[2]
        lost.kill()
        first = cluster.nodes[0]
        until(lambda: "cluster_state:fail" in first.cli("CLUSTER", "INFO"), "a cluster that fails")
        found = await examined(f"{cluster.url}?timeout=0.5")
    told = [each.found for each in found if each.grade is Grade.ERROR]
    assert any(f"{HOST}:{lost.port}" in each for each in told)
    assert any("the cluster is fail, 10,922 of 16,384" in each for each in told)
    told = [each.found for each in found if each.grade is Grade.WARNING]
    assert any(f"{HOST}:{lost.port} down" in each for each in told)
