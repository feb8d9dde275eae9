"""Permissions: which ACL rules the user lacks, found by trying each command."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import ConnectionInfo, Link, Node, RedisCommand
from qcore.adapters.redis.keys import Key, Keys
from qcore.doctor.redis.server_queries import rule_of
from qcore.domain.diagnostics import Finding, error, ok
from qcore.domain.errors import QcoreError

NO_SCRIPT: Final = "0" * 40

_WITHOUT_KEYS: Final = {
    "ASKING",
    "CLUSTER",
    "PING",
    "PUBLISH",
    "TIME",
    "UNSUBSCRIBE",
    "WAIT",
    "WAITAOF",
}


def probe_commands(keys: Keys, queue: str, route: ConnectionInfo | None) -> Iterator[RedisCommand]:
    """Yield each command that qcore sends, or calls in a script, so that it changes nothing.

    Servers check permissions before anything else; `queue` has no tasks.
    """
    its = (Key.META, Key.TASKS, Key.PENDING, Key.SESSION)
    meta, tasks, pending, session = (keys.of(queue)[key - 1] for key in its)
    yield from (
        ("TIME",),
        ("PING",),
        ("EVAL", "return 1", 1, meta),
        ("EVALSHA", NO_SCRIPT, 1, meta),
        ("EXISTS", meta),
        ("GET", session),
        ("HDEL", tasks, "-"),
        ("HGET", meta, "version"),
        ("HGETALL", meta),
        ("HINCRBY", meta, "sequence", "no number"),
        ("HLEN", tasks),
        ("HMGET", tasks, "-"),
        ("HSET", meta, "version", "1", "no value"),
        ("HSTRLEN", tasks, "-"),
        ("PEXPIRE", session, 1),
        ("PUBLISH", keys.channel(queue), ""),
        ("SET", session, "", "XX", "PX", 1),
        ("SMEMBERS", keys.registry),
        ("SREM", keys.registry, ""),
        ("TYPE", meta),
        ("UNSUBSCRIBE", keys.channel(queue)),
        ("ZADD", pending, "XX", 0, "-"),
        ("ZCARD", pending),
        ("ZLEXCOUNT", pending, "-", "+"),
        ("ZRANGE", pending, 0, 0),
        ("ZRANGEBYLEX", pending, "-", "+"),
        ("ZRANGEBYSCORE", pending, 0, 0),
        ("ZRANK", pending, "-"),
        ("ZREM", pending, "-"),
        ("ZREMRANGEBYRANK", pending, 0, 0),
        ("ZREVRANGE", pending, 0, 0),
        ("ZREVRANGEBYLEX", pending, "+", "-"),
        ("ZREVRANK", pending, "-"),
        ("ZSCORE", pending, "-"),
    )
    if route is not None and route.kind == "cluster":
        yield from (("CLUSTER", "SLOTS"), ("ASKING",))
    if route is not None and route.replicas:
        yield ("WAIT", 0, 1)
    if route is not None and route.fsync is not None:
        yield ("WAITAOF", 0, 0, 1)


async def missing_rules(
    link: Link,
    nodes: Sequence[Node],
    keys: Keys,
    queue: str,
    route: ConnectionInfo | None,
) -> list[str]:
    """Return the rules of an ACL that are missing, having tried all that qcore needs."""
    missing: dict[str, None] = {}
    for node in nodes:
        missing |= dict.fromkeys(await _missing_at(node, keys, queue, route))
    missing |= dict.fromkeys(await _missing_to_subscribe(link, keys))
    if {"+publish", "+subscribe"} <= missing.keys():
        # no command was left that could try the channels
        missing[f"&{_space(keys)}"] = None
    return [*missing]


def permissions(missing: Sequence[str], keys: Keys, user: str) -> list[Finding]:
    """Tell which rules are missing."""
    if not missing:
        space = f"~{_space(keys)} &{_space(keys)}"
        return [ok("permissions", f"user {user} may do all that qcore does ({space})")]
    rules = " ".join(missing)
    return [
        error(
            "permissions",
            f"user {user} lacks {rules}",
            f"ACL SETUSER {user} {rules}, and ACL SAVE, or the same in redis.conf; then ask again",
        )
    ]


def user_of(route: ConnectionInfo | None) -> str:
    """Return as whom the server knows us."""
    return "default" if route is None else route.user


def _space(keys: Keys) -> str:
    return f"{keys.registry.removesuffix('queues')}*"


async def _missing_at(
    node: Node, keys: Keys, queue: str, route: ConnectionInfo | None
) -> list[str]:
    """Return the rules that are missing at one server."""
    commands = [*probe_commands(keys, queue, route)]
    try:
        replies = await node.ask(*commands)
    except QcoreError as why:
        # refused while it connected: what comes after that cannot be tried
        rule = _rule(why, keys)
        if rule is None:
            raise
        return [rule]
    rules = [_rule(reply, keys) for reply in replies]
    if "PEXPIRE" in {c[0] for c, rule in zip(commands, rules, strict=True) if rule is None}:
        # there is no way to add nothing to a set: it is made, and gone at once
        meta = keys.of(queue)[Key.META - 1]
        added, _ = await node.ask(("SADD", meta, "-"), ("PEXPIRE", meta, 0))
        commands.append(("SADD", meta, "-"))
        rules.append(_rule(added, keys))
    missing = [rule for rule in rules if rule is not None]
    if not any(_is_of_keys(c) for c, rule in zip(commands, rules, strict=True) if rule is None):
        # no command was left that could try the keys
        missing.append(f"~{_space(keys)}")
    return missing


def _is_of_keys(command: RedisCommand) -> bool:
    return command[0] not in _WITHOUT_KEYS


def _rule(reply: object, keys: Keys) -> str | None:
    """Return which rule would have allowed what was refused, in the words of this namespace."""
    rule = rule_of(reply) if isinstance(reply, QcoreError) else None
    return rule if rule is None or rule.startswith("+") else f"{rule[0]}{_space(keys)}"


async def _missing_to_subscribe(link: Link, keys: Keys) -> list[str]:
    try:
        subscription = await link.listen([keys.channel("-")], _ignore, _ignore)
    except QcoreError as why:
        rule = _rule(why, keys)
        return [] if rule is None else [rule]
    await subscription.close()
    return []


def _ignore(*_: object) -> None:
    """Do nothing."""
