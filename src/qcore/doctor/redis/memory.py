"""Memory: maxmemory, fragmentation, and the eviction policy."""

from collections.abc import Iterator
from typing import Final

from qcore.doctor.redis.server_queries import Server
from qcore.domain.diagnostics import Finding, advice, error, ok, warning

FULL: Final = 0.8
"""Of the memory there is, from which on it is time to act."""
LARGE: Final = 100 << 20
"""Bytes below which a ratio says nothing."""
FRAGMENTED: Final = 1.5

_KEEP_ALL: Final = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"


def eviction(server: Server) -> Iterator[Finding]:
    """Tell whether tasks are dropped when the memory is full."""
    policy = server.info.get("maxmemory_policy")
    if policy is None:
        return
    limit, gone = server.number("maxmemory"), server.number("evicted_keys")
    if policy == "noeviction":
        yield ok("eviction", "noeviction: with its memory full it takes no tasks, and drops none")
    elif policy.startswith("volatile-"):
        yield advice(
            "eviction",
            f"{policy}: with its memory full it drops the answers that it remembers, and a call "
            "repeated after a lost connection may then be carried out twice",
            _KEEP_ALL,
        )
    elif limit:
        yield warning(
            "eviction",
            f"{policy}: with more than {_human(server, 'maxmemory')} in its memory it drops "
            f"tasks and whole queues ({gone:,.0f} keys since it started)",
            f"{_KEEP_ALL}; a cache belongs on a server of its own",
        )
    else:
        yield advice(
            "eviction", f"{policy}: it would drop tasks as soon as there is a maxmemory", _KEEP_ALL
        )


def memory(server: Server) -> Iterator[Finding]:
    """Tell how much there is, how much of it is used, and how well."""
    if "used_memory" not in server.info:
        return
    yield _room(server)
    ratio, lost = server.number("mem_fragmentation_ratio"), server.number("mem_fragmentation_bytes")
    if ratio > FRAGMENTED and lost > LARGE:
        yield advice(
            "memory",
            f"fragmented: {_human(server, 'used_memory_rss')} resident for "
            f"{_human(server, 'used_memory')} in use",
            "CONFIG SET activedefrag yes, or restart it",
        )
    if 0 < ratio < 1 and server.number("used_memory") > LARGE:
        yield warning(
            "memory",
            f"swapped out in part: {_human(server, 'used_memory_rss')} resident of "
            f"{_human(server, 'used_memory')} in use",
            "give it a machine with more memory, or a lower maxmemory",
        )


def _room(server: Server) -> Finding:
    used = server.number("used_memory")
    limit, machine = server.number("maxmemory"), server.number("total_system_memory")
    human = _human(server, "used_memory")
    if limit:
        found = f"{human} of maxmemory {_human(server, 'maxmemory')} in use"
        if used >= limit:
            return error("memory", f"{found}: it takes no tasks", "raise it, or run more workers")
        if used >= FULL * limit:
            return warning("memory", found, "raise it, or run more workers")
        return ok("memory", f"{found}, fragmentation {server.number('mem_fragmentation_ratio'):g}")
    found = f"{human} in use, no maxmemory, {_human(server, 'total_system_memory')} in the machine"
    grade = warning if machine and used >= FULL * machine else advice
    return grade(
        "memory",
        found,
        "set maxmemory to what may be used: full, it then refuses tasks, and is not killed",
    )


def _human(server: Server, fact: str) -> str:
    """Return a number of bytes as the server itself spells it."""
    return server.info.get(f"{fact}_human") or f"{server.number(fact):,.0f} bytes"
