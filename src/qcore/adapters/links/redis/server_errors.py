"""What a Redis server may complain of, and what to do about it.

The words are those that Redis 6.2, 7.0, 8.0 and Valkey 9.1 answer with, seen on real servers;
codes come first in an answer, and what has none begins with ERR.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)

from qcore.domain.errors import BrokerUnavailable, BrokerUnusable
from qcore.domain.record import record

Sort: TypeAlias = type[BrokerUnavailable | BrokerUnusable]


@record
class Complaint:
    """What an answer means."""

    sort: Sort
    advice: str
    refused: bool = False
    """Whether nothing of what was asked for has been done."""


def later(advice: str) -> Complaint:
    """Return a complaint that passes, of something that was not done."""
    return Complaint(BrokerUnavailable, advice, refused=True)


def never(advice: str, *, refused: bool = False) -> Complaint:
    """Return a complaint that somebody has to see to."""
    return Complaint(BrokerUnusable, advice, refused)


_LACKS: Final = "this user lacks a permission: ACL SETUSER <user>"
NODE: Final = never("it is a node of a cluster: use redis+cluster://")
A_SENTINEL: Final = never(
    "it runs no scripts, as a Sentinel does not: use redis+sentinel://host:26379/master-name; "
    "if it is a proxy, name the server behind it"
)

MOVING: Final = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"})
"""What only a node of a cluster answers."""

BY_CODE: Final[Mapping[str, Complaint]] = {
    "LOADING": later("it is loading its data, and answers when it has"),
    "READONLY": later(
        "it is a replica: if this is no failover that will end, name the master, or use "
        "redis+sentinel://"
    ),
    "MASTERDOWN": later("it is a replica that has lost its master: look after the master"),
    "CLUSTERDOWN": later(
        "the cluster does not serve this slot: wait for its failover, or look at "
        "`redis-cli --cluster check`"
    ),
    "TRYAGAIN": later("the cluster is just moving this slot"),
    "MOVED": later("the cluster has just moved this slot"),
    "ASK": later("the cluster is just moving this slot"),
    "OOM": later(
        "the server's maxmemory is reached: raise it, or let workers take tasks out; with "
        "maxmemory-policy noeviction none is lost"
    ),
    "MISCONF": later("it cannot save to its disk, and takes no writes until it can: see its log"),
    "BUSY": later("a script of somebody's has been running for long: SCRIPT KILL ends it"),
    "NOREPLICAS": later("it has fewer replicas than its min-replicas-to-write asks for"),
    "NOSCRIPT": later("it has just lost the scripts it knew"),
    "NOAUTH": never("it asks for a password: redis://user:password@host", refused=True),
    "WRONGPASS": never("it does not take this user and password", refused=True),
    "DENIED": never(
        "it is in protected mode, and serves its own host alone: set requirepass, and name the "
        "password in the URL",
        refused=True,
    ),
    "WRONGTYPE": never(
        "one of our keys holds what is not ours: choose another namespace=, or another database"
    ),
    "CROSSSLOT": never("it is a cluster or a proxy that keeps keys apart: use redis+cluster://"),
}

BY_WORDS: Final[Sequence[tuple[re.Pattern[str], Complaint]]] = [
    (re.compile(pattern), complaint)
    for pattern, complaint in (
        (
            "max number of clients reached",
            later("it has as many clients as its maxclients allows: raise that, or use fewer"),
        ),
        (
            "Script killed by user",
            later("somebody has ended our script with SCRIPT KILL before it wrote anything"),
        ),
        (
            "WAIT(AOF)? cannot be used with replica",
            Complaint(BrokerUnavailable, "it has become a replica: what it was told may be lost"),
        ),
        (
            "appendonly is disabled",
            never("fsync= waits for its append-only file: set appendonly yes, or fsync=no"),
        ),
        ("without any password", never("it asks for no password: leave it out of the URL")),
        (
            "[Uu]nknown command [`'\"]?(EVAL|EVALSHA|SCRIPT|SELECT|TIME|WAIT|SUBSCRIBE)\\b",
            A_SENTINEL,
        ),
        ("[Uu]nknown command [`'\"]?SENTINEL", never("it is no Sentinel: use redis://")),
        (
            "[Uu]nknown command [`'\"]?WAITAOF",
            never("fsync= needs Redis 7.2 or newer: upgrade the server, or leave fsync out"),
        ),
        (
            "[Uu]nknown (Redis )?command",
            never("it lacks a command: qcore needs Redis 6.2 or newer, or Valkey; upgrade it"),
        ),
        (
            "No such master",
            never("its Sentinels know no master of that name: redis+sentinel://host/master-name"),
        ),
        ("cluster support disabled", never("it is no cluster: use redis://")),
        ("not allowed in cluster mode", NODE),
        # a node of a cluster of Valkey 9 has databases, though by default no more than one
        (
            "DB index is out of range",
            never(
                "it has no database of that number: name another; if it is a cluster, use "
                "redis+cluster://"
            ),
        ),
        (
            "user executing the script can't run|in script: User .+ has no permissions to run",
            never(f"{_LACKS} +@read +@write +publish"),
        ),
        (
            "user executing the script can't publish|in script: No permissions to access a channel",
            never(f"{_LACKS} &qcore:* (or &namespace:*)"),
        ),
        (
            "user executing the script can't access|in script: No permissions to access a key",
            never(f"{_LACKS} ~qcore:* (or ~namespace:*)"),
        ),
    )
]

WITH_SENTINELS: Final[Mapping[str, Complaint]] = {
    "NOAUTH": never(
        "a password is asked for: by the server, user:password@, or by a Sentinel, "
        "sentinel_user=, sentinel_password=",
        refused=True,
    ),
    "WRONGPASS": never(
        "user and password are not taken: by the server, user:password@, or by a Sentinel, "
        "sentinel_user=, sentinel_password=",
        refused=True,
    ),
}
"""Who of them complains is not known."""

BY_CLASS: Final[Sequence[tuple[type[Exception], str]]] = [
    (BusyLoadingError, "LOADING"),
    (ReadOnlyError, "READONLY"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (TryAgainError, "TRYAGAIN"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (OutOfMemoryError, "OOM"),
    (NoScriptError, "NOSCRIPT"),
    (NoPermissionError, "NOPERM"),
    (ClusterCrossSlotError, "CROSSSLOT"),
    (AuthenticationError, "WRONGPASS"),
]
"""The code that redis-py has taken off the words, for an error that does not tell it."""

UNEXPECTED: Final = never("it answers as no Redis of version 6.2 or newer would")

_COMMAND: Final = re.compile("'([^']+)' command")


def permission(said: str) -> Complaint:
    """Return which permission is missing, and the rule that gives it."""
    command = _COMMAND.search(said)
    if command is not None:
        return never(f"{_LACKS} +{command[1]}", refused=True)
    if "database" in said:
        return never(f"{_LACKS} db=<number>, that of the URL (or alldbs)", refused=True)
    sign = "&" if "channel" in said else "~"
    return never(f"{_LACKS} {sign}qcore:* (or {sign}namespace:*)", refused=True)


def of_ours(said: str) -> Complaint:
    """Return what an error that one of our scripts raises means."""
    _, kind, *rest = said.split(" ")
    if kind == "NEWER":
        return never(
            "a queue there was written by a newer qcore: upgrade this one, which does not know "
            f"format {' '.join(rest)}"
        )
    if kind == "FOREIGN":
        key, held = " ".join(rest[:-1]), "".join(rest[-1:])
        return never(
            f"a key of ours holds foreign data ({key} is a {held}): choose another namespace=, or "
            "another database; nothing was overwritten"
        )
    return UNEXPECTED
