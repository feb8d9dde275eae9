import re
from importlib.resources import files
from pathlib import Path

import pytest

from qcore import connect
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.keys import Keys
from qcore.adapters.redis.scripts import LIBRARY
from qcore.doctor.redis.permissions import missing_rules, probe_commands
from qcore.domain.diagnostics import Grade
from tests.adapters.doctoring import examined, of
from tests.servers.redis import RedisServer

ROOT = Path(__file__).parents[2]
LUA = [*Path(str(files("qcore.adapters.redis")), "lua").rglob("*.lua")]
SENT = {"eval", "evalsha", "ping", "sadd", "smembers", "srem", "subscribe"}
SENT |= {"time", "unsubscribe"}
"""Commands that no script calls."""
NO_COMMANDS = {"LIMIT", "NOPERM", "WITHSCORES"}
"""What scripts say in capitals besides."""


def needed(keys: Keys) -> list[str]:
    """Return the names of all commands that qcore sends to one server."""
    words = [command[0] for command in probe_commands(keys, "queue", None)]
    return [str(word).lower() for word in (*words, "SADD", "SUBSCRIBE")]


def test_just_the_commands_that_are_sent_or_called_are_tried() -> None:
    """A script that calls another one would be refused to a user of whom all seemed well."""
    texts = [path.read_text() for path in LUA]
    called = {name for text in texts for name in re.findall(r"'([A-Z]{3,})'", text)}
    called -= NO_COMMANDS
    assert {name.lower() for name in called} | SENT == set(needed(Keys("qcore")))


def documented() -> tuple[list[str], list[str]]:
    """Return the rules in our how-to: for a user of qcore's, and for all that is examined."""
    text = (ROOT / "docs" / "how-to" / "check-your-redis.md").read_text(encoding="utf-8")
    for_all, for_doctor = (
        re.search(pattern, text, re.DOTALL)
        for pattern in (r"ACL SETUSER app on >secret (.*?)```", r"may also have `(.*?)`")
    )
    assert for_all is not None
    assert for_doctor is not None
    return for_all[1].split(), for_doctor[1].split()


def test_what_scripts_call_is_tried_before_one_is_called() -> None:
    """A permission that is not tried when a broker is opened would be missed half way."""
    called = {
        str(path): set(re.findall(r"'([A-Z]{3,})'", path.read_text())) - NO_COMMANDS for path in LUA
    }
    assert len(called) == len(LUA) > len(LIBRARY)
    tried = called.pop(next(name for name in called if name.endswith("check_permissions.lua")))
    # to open is to ask for the time
    assert tried == set().union(*called.values()) - {"TIME"}


def test_the_how_to_names_just_the_commands_that_are_needed() -> None:
    """A user who is given them can do no more than qcore does."""
    rules, _ = documented()
    commands = {rule for rule in rules if rule.startswith("+")} - {"+client|setname"}
    assert commands == {f"+{name}" for name in needed(Keys("qcore"))}


async def test_the_rules_of_the_how_to_are_enough(own_redis: RedisServer) -> None:
    """A user who may do just these, on our keys and channels alone, may do all that qcore does."""
    rules, more = documented()
    own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules)
    url = own_redis.url.replace("//", "//ann:s3cr3t@")
    found = await examined(url)
    for about in ("permissions", "scripts", "wake-ups"):
        assert of(found, about).grade is Grade.OK
    assert "ACL SETUSER ann +info" in of(found, "questions").to_do
    own_redis.cli("ACL", "SETUSER", "ann", *more)
    assert "questions" not in [each.about for each in await examined(url)]
    assert own_redis.cli("KEYS", "*") == []


async def test_each_rule_that_is_missing_is_named(own_redis: RedisServer) -> None:
    """Just that rule, in the words of ACL SETUSER; and it is what has to be added."""
    keys = Keys("qcore")
    own_redis.cli(
        "ACL", "SETUSER", "ann", "on", ">s3cr3t", "~qcore:*", "resetchannels", "&qcore:*", "+@all"
    )
    for name in needed(keys):
        own_redis.cli("ACL", "SETUSER", "ann", f"-{name}")
        expected = [f"+{name}", "+sadd"] if name == "pexpire" else [f"+{name}"]
        rules = await lacking_of(own_redis, keys)
        # without PEXPIRE there is no way to try SADD without a trace
        assert rules == expected[: len(rules)], name
        own_redis.cli("ACL", "SETUSER", "ann", *rules)
        assert await lacking_of(own_redis, keys) == []
    assert own_redis.cli("KEYS", "*") == []


async def lacking_of(own_redis: RedisServer, keys: Keys) -> list[str]:
    """Return which rules the user ann lacks."""
    broker = connect(own_redis.url.replace("//", "//ann:s3cr3t@"))
    assert isinstance(broker, RedisBroker)
    topology = await broker.link.topology()
    rules = await missing_rules(
        broker.link, topology.masters, keys, "qcore-doctor-1", topology.connection
    )
    await broker.close()
    return rules


async def test_a_registry_that_cannot_be_read_is_not_taken_for_an_empty_one(
    own_redis: RedisServer,
) -> None:
    """What it names is not known then, nor what it does not name; and what to do is told."""
    own_redis.cli("SADD", "qcore:queues", "mail")
    own_redis.cli("HSET", "qcore:{mail}:meta", "version", 1)
    rules = "resetchannels", "~qcore:*", "&qcore:*", "+@all"
    own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", *rules)
    url = own_redis.url.replace("//", "//ann:s3cr3t@")
    assert of(await examined(url), "namespace").found == "qcore:queues names 1 queue"
    own_redis.cli("ACL", "SETUSER", "ann", "-smembers")
    told = of(await examined(url), "namespace")
    assert told.grade is Grade.WARNING
    assert told.found == "qcore:queues cannot be read: which queues it names is not known"
    assert told.to_do == "ACL SETUSER <user> +smembers ~qcore:queues"
    own_redis.cli("ACL", "SETUSER", "ann", *told.to_do.split()[3:])
    assert of(await examined(url), "namespace").grade is Grade.OK


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
    own_redis: RedisServer, rules: list[str], missing: set[str]
) -> None:
    """So are they where no command is left that could try them."""
    own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "resetchannels", *rules)
    found = await examined(own_redis.url.replace("//", "//ann:s3cr3t@"))
    told = of(found, "permissions")
    assert told.grade is Grade.ERROR
    assert set(told.found.removeprefix("user ann lacks ").split()) == missing
    assert "scripts" not in [each.about for each in found]


async def test_a_namespace_has_rules_of_its_own(own_redis: RedisServer) -> None:
    """The rules name the keys and the channels of the URL's namespace."""
    own_redis.cli("ACL", "SETUSER", "ann", "on", ">s3cr3t", "resetchannels", "~qcore:*", "+@all")
    found = await examined(f"{own_redis.url.replace('//', '//ann:s3cr3t@')}?namespace=shop")
    assert {"~shop:*", "&shop:*"} <= set(of(found, "permissions").found.split())


async def test_a_user_who_cannot_even_come_in_is_told_all_the_same(own_redis: RedisServer) -> None:
    """Without TIME a link does not open; what else is missing is told at once."""
    own_redis.cli(
        "ACL",
        "SETUSER",
        "ann",
        "on",
        ">s3cr3t",
        "~qcore:*",
        "allchannels",
        "+@all",
        "-time",
        "-zadd",
    )
    [told] = await examined(own_redis.url.replace("//", "//ann:s3cr3t@"))
    assert told.found == "user ann lacks +time +zadd"
    own_redis.cli("ACL", "SETUSER", "ann", "-client")
    [told] = await examined(own_redis.url.replace("//", "//ann:s3cr3t@"))
    assert re.fullmatch(r"user ann lacks \+client(\|setname)?", told.found)
