import pytest

from qcore import NewTask
from qcore.adapters.redis.keys import Keys
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.adapters.redis.scripts import lua
from qcore.doctor.redis.queues import KNOWN, leftovers, queue_reports
from qcore.doctor.redis.server_queries import ServerQueries
from qcore.domain.diagnostics import Grade
from qcore.domain.task import RetentionPolicy
from qcore.testing.contract.steps import on_work, take
from qcore.testing.fakes import fake_redis_broker
from tests.adapters.doctoring import examined, of, opened
from tests.servers.redis import RedisServer
from tests.servers.waiting import until


async def test_a_queue_of_a_newer_qcore_is_an_error(own_redis: RedisServer) -> None:
    """It names the formats, its own and the other one."""
    own_redis.cli("SADD", "qcore:queues", "mail")
    own_redis.cli("HSET", "qcore:{mail}:meta", "version", KNOWN + 1)
    told = of(await examined(own_redis.url), "queues")
    assert told.grade is Grade.ERROR
    assert told.found.startswith(f"mail was written by a newer qcore: format {KNOWN + 1}")
    assert told.to_do == "upgrade this qcore"


def test_the_format_that_is_known_is_the_scripts() -> None:
    """A new format of the scripts is known here, too."""
    text = lua("lib/version")
    assert f"local VERSION = '{KNOWN}'\n" in text


@pytest.mark.parametrize(
    ("command", "about", "words"),
    [
        ("SET qcore:{default}:tasks x", "queues", "qcore:{default}:tasks is a string"),
        ("SET qcore:{other}:meta x", "queues", "qcore:{other}:meta is a string"),
        ("HSET qcore:{default}:tasks a b", "queues", "nothing tells by whom"),
        ("HSET qcore:{default}:meta version new", "queues", "version in its meta is 'new'"),
        ("HSET qcore:{default}:meta version 1 sequence x", "queues", "sequence in its meta is 'x'"),
        ("SET qcore:queues x", "namespace", "no queue can be made"),
    ],
)
async def test_foreign_data_under_our_keys_are_an_error(
    own_redis: RedisServer, command: str, about: str, words: str
) -> None:
    """The key is named, and nothing of it is changed."""
    own_redis.cli(*command.split())
    found = await examined(own_redis.url)
    told = [each for each in found if each.about == about and words in each.found]
    assert [each.grade for each in told] == [Grade.ERROR]
    assert own_redis.cli("DBSIZE") == 1


async def test_keys_that_are_nobody_s_are_advice(own_redis: RedisServer) -> None:
    """They are in nobody's way; of other namespaces there is nothing to say."""
    for key in ("qcore:notes", "qcore:{a}:other", "qcorex:{a}:tasks", "other"):
        own_redis.cli("SET", key, "x")
    told = of(await examined(own_redis.url), "namespace")
    assert told.grade is Grade.ADVICE
    assert told.found.startswith("2 keys under qcore: are not qcore's, such as qcore:notes")


async def test_marks_in_a_namespace_are_no_pattern(own_redis: RedisServer) -> None:
    """Keys of a namespace that another one's marks would match are not taken for its."""
    own_redis.cli("SET", "shop1:notes", "x")
    found = await examined(f"{own_redis.url}?namespace=shop[0-9]*")
    assert of(found, "namespace").grade is Grade.OK


async def test_a_queue_that_the_registry_has_lost_is_a_warning(own_redis: RedisServer) -> None:
    """What to do about it helps."""
    async with opened(own_redis) as broker:
        await broker.enqueue([NewTask("mail", id="a", queue="post")], now=broker.time())
    own_redis.cli("DEL", "qcore:queues")
    told = of(await examined(own_redis.url), "namespace")
    assert told.grade is Grade.WARNING
    assert "does not name 1 queues that are there: post" in told.found
    own_redis.cli(*told.to_do.split())
    assert of(await examined(own_redis.url), "namespace").grade is Grade.OK


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
    own_redis: RedisServer, amiss: tuple[str, ...], grade: Grade, words: str
) -> None:
    """Tasks that nobody would run are a warning, what only counts wrong is advice."""
    async with opened(own_redis) as broker:
        tasks = [NewTask("mail", id="a"), NewTask("mail", id="b")]
        await broker.enqueue(tasks, now=broker.time())
    assert of(await examined(own_redis.url), "leftovers").grade is Grade.OK
    own_redis.cli(*amiss)
    told = of(await examined(own_redis.url), "leftovers")
    assert told.grade is grade
    assert words in told.found


async def test_tasks_in_blocks_are_no_leftovers(own_redis: RedisServer) -> None:
    """Each counts as one that waits, and is in one state, also when some are claimed."""
    async with opened(own_redis) as broker:
        now = broker.time()
        await broker.enqueue([NewTask("mail", id=f"{n:032x}") for n in range(100)], now=now)
        assert own_redis.cli("HLEN", "qcore:{default}:blocks") == 2
        await take(broker, 10, now=now)
    found = await examined(own_redis.url)
    assert of(found, "leftovers").grade is Grade.OK
    assert of(found, "workers").found == "default: 90 tasks wait, and no worker listens"


async def test_to_enqueue_a_leftover_again_mends_it(own_redis: RedisServer) -> None:
    """As its finding says."""
    async with opened(own_redis) as broker:
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
        own_redis.cli("DEL", "qcore:{default}:pending")
        assert "under their ids" in of(await examined(own_redis.url), "leftovers").to_do
        await broker.enqueue([NewTask("mail", id="a")], now=broker.time())
    assert of(await examined(own_redis.url), "leftovers").grade is Grade.OK


async def test_what_only_seemed_amiss_for_a_moment_is_nothing() -> None:
    """Tasks move while they are counted: what is amiss is looked at again."""
    broker = fake_redis_broker()
    keys, queries = Keys("qcore"), ServerQueries()
    await broker.enqueue([NewTask("mail", id="a")], now=1.0)
    pending = keys.of("default")[2]
    [(member, score)] = [
        (row[0], row[1])
        for row in [await broker.link.command("ZRANGE", pending, 0, 0, "WITHSCORES")]
    ]
    await broker.link.command("ZREM", pending, member)
    nodes = (await broker.link.topology()).masters
    [look] = await queue_reports(nodes, keys, ["default"], 2.0, queries)
    assert look.stray == 1
    await broker.link.command("ZADD", pending, score, member)
    runner = ScriptRunner(broker.link, RetentionPolicy(), "qcore")
    [told] = await leftovers(runner, nodes, [look], queries)
    assert told.grade is Grade.OK
    await broker.close()


async def test_queues_that_nobody_serves_are_a_warning(own_redis: RedisServer) -> None:
    """With somebody who listens for each of them, all is well."""
    async with opened(own_redis) as broker:
        now = broker.time()
        later = NewTask("mail", id="b", queue="low", due=now + 3_600)
        soon = NewTask("mail", id="c", queue="high", due=now + 0.001)
        await broker.enqueue([NewTask("mail", id="a"), later, soon], now=now)
        subscription = await on_work(broker, ["default"], lambda: None)
        until(lambda: broker.time() > now + 0.001, "the task to be due")
        [told] = [each for each in await examined(own_redis.url) if each.about == "workers"]
        assert told.grade is Grade.WARNING
        assert told.found == "high: 1 task waits, and no worker listens"
        other = await on_work(broker, ["high"], lambda: None)
        told = of(await examined(own_redis.url), "workers")
        assert told.grade is Grade.OK
        await subscription.close()
        await other.close()
