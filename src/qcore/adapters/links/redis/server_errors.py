"""Error replies of Redis servers: which exception each becomes, and what its user is advised.

An error reply begins with a code (redis.io, "RESP protocol description", simple errors); where that
is the generic ERR, the text decides. The texts were seen on Redis 6.2, 7.0, 8.0 and Valkey 9.1.
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

from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable
from qcore.domain.record import record

ExceptionType: TypeAlias = type[BrokerUnavailable | BrokerUnusable | BrokerRefused]


@record
class Meaning:
    """What an error means to whoever uses the broker."""

    exception: ExceptionType
    advice: str
    is_elsewhere: bool = False
    """Whether the server says that it is not the one to ask, or not any more."""


def transient(advice: str) -> Meaning:
    """Return the meaning of an error after which the same call may succeed later."""
    return Meaning(BrokerUnavailable, advice)


def elsewhere(advice: str) -> Meaning:
    """Return the meaning of an error after which another server may answer the same call.

    The link leaves a server that says so (`failover`).
    """
    return Meaning(BrokerUnavailable, advice, is_elsewhere=True)


def permanent(advice: str) -> Meaning:
    """Return the meaning of an error that stays until somebody acts."""
    return Meaning(BrokerUnusable, advice)


TOO_LARGE: Final = Meaning(
    BrokerRefused,
    "it takes no request of that size: store the data elsewhere and send where it is, or raise the "
    "server's proto-max-bulk-len and client-query-buffer-limit",
)
"""The meaning of an error about what a request holds: it concerns that request alone."""


_LACKS: Final = "this user lacks a permission: ACL SETUSER <user>"
CLUSTER_NODE: Final = permanent("it is a node of a cluster: use redis+cluster://")
SENTINEL: Final = permanent(
    "it runs no scripts, as a Sentinel does not: use redis+sentinel://host:26379/master-name; "
    "if it is a proxy, name the server behind it"
)

CLUSTER_CODES: Final = frozenset({"MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"})
"""Codes that only nodes of a cluster reply with."""

BY_CODE: Final[Mapping[str, Meaning]] = {
    # also a replica that gets all data anew from a master just promoted
    "LOADING": elsewhere("it is loading its data, and answers when it has"),
    "READONLY": elsewhere(
        "it is a replica, to new connections too: if this is no failover that will end, name the "
        "master in the URL, or use redis+sentinel://"
    ),
    "MASTERDOWN": elsewhere("it is a replica that has lost its master: look after the master"),
    # what waits when its server becomes a replica, such as a WAIT
    "UNBLOCKED": elsewhere("it has become a replica: what it was told may be lost"),
    # of Valkey 8, to clients that it may send elsewhere
    "REDIRECT": elsewhere("it is a replica, and names another server: name that in the URL"),
    "NOGOODSLAVE": elsewhere("it has no replica fit to be promoted: look after the replicas"),
    "CLUSTERDOWN": elsewhere(
        "the cluster does not serve this slot: wait for its failover, or look at "
        "`redis-cli --cluster check`"
    ),
    "TRYAGAIN": transient("the cluster is just moving this slot"),
    "MOVED": elsewhere("the cluster has just moved this slot"),
    "ASK": transient("the cluster is just moving this slot"),
    "OOM": transient(
        "the server's maxmemory is reached: raise it, or let workers take tasks out; with "
        "maxmemory-policy noeviction none is lost"
    ),
    # the next two are also what a server says to a Sentinel's PING, which then promotes another
    "MISCONF": elsewhere(
        "it cannot save to its disk, and takes no writes until it can: see its log"
    ),
    "BUSY": elsewhere("a script of somebody's has been running for long: SCRIPT KILL ends it"),
    # also a master that is cut off from its replicas, and in whose place another was promoted
    "NOREPLICAS": elsewhere(
        "it has fewer replicas than its min-replicas-to-write asks for: look after the replicas, "
        "or, where another master was promoted, let the URL lead to it"
    ),
    "NOSCRIPT": transient("it has just lost the scripts it knew"),
    "NOAUTH": permanent("it asks for a password: redis://user:password@host"),
    "WRONGPASS": permanent("it does not take this user and password"),
    "DENIED": permanent(
        "it is in protected mode, and serves its own host alone: set requirepass, and name the "
        "password in the URL",
    ),
    "WRONGTYPE": permanent(
        "one of our keys holds what is not ours: choose another namespace=, or another database"
    ),
    "CROSSSLOT": permanent(
        "it is a cluster or a proxy that keeps keys apart: use redis+cluster://"
    ),
}

_EDITED: Final = (
    "attempt to .* nil|attempt to (perform|compare|concatenate)|bad argument #|"
    "is not (an integer|a valid float)|would overflow"
)
"""What Lua, or a command in a script, says of a value that qcore does not store."""

BY_TEXT: Final[Sequence[tuple[re.Pattern[str], Meaning]]] = [
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (
            "max number of clients reached",
            transient("it has as many clients as its maxclients allows: raise that, or use fewer"),
        ),
        (
            "Protocol error: (invalid (multi)?bulk length|too big)|exceeds maximum allowed size",
            TOO_LARGE,
        ),
        ("string length overflow", TOO_LARGE),
        (
            "Script killed by user",
            transient("somebody has ended our script with SCRIPT KILL before it wrote anything"),
        ),
        (
            "WAIT(AOF)? cannot be used with replica",
            elsewhere("it has become a replica: what it was told may be lost"),
        ),
        (
            "appendonly is disabled",
            permanent("fsync= waits for its append-only file: set appendonly yes, or fsync=no"),
        ),
        ("without any password", permanent("it asks for no password: leave it out of the URL")),
        (
            "[Uu]nknown command [`'\"]?(EVAL|EVALSHA|SCRIPT|SELECT|TIME|WAIT|SUBSCRIBE)\\b",
            SENTINEL,
        ),
        ("[Uu]nknown command [`'\"]?SENTINEL", permanent("it is no Sentinel: use redis://")),
        (
            "[Uu]nknown command [`'\"]?WAITAOF",
            permanent("fsync= needs Redis 7.2 or newer: upgrade the server, or leave fsync out"),
        ),
        (
            "[Uu]nknown (Redis )?command",
            permanent("it lacks a command: qcore needs Redis 6.2 or newer, or Valkey; upgrade it"),
        ),
        (
            _EDITED,
            permanent(
                "a script came upon what qcore does not store, so somebody has edited it: "
                "`qcore doctor` looks for it"
            ),
        ),
        (
            "No such master",
            permanent(
                "its Sentinels know no master of that name: redis+sentinel://host/master-name"
            ),
        ),
        ("cluster support disabled", permanent("it is no cluster: use redis://")),
        ("not allowed in cluster mode", CLUSTER_NODE),
        # a cluster of Valkey 9 has databases too, though by default a single one
        (
            "DB index is out of range",
            permanent(
                "it has no database of that number: name another; if it is a cluster, use "
                "redis+cluster://"
            ),
        ),
        (
            "user executing the script can't run|in script: User .+ has no permissions to run",
            permanent(f"{_LACKS} +@read +@write +publish"),
        ),
        (
            "user executing the script can't publish|in script: No permissions to access a channel",
            permanent(f"{_LACKS} &qcore:* (or &namespace:*)"),
        ),
        (
            "user executing the script can't access|in script: No permissions to access a key",
            permanent(f"{_LACKS} ~qcore:* (or ~namespace:*)"),
        ),
    )
]

WITH_SENTINELS: Final[Mapping[str, Meaning]] = {
    "NOAUTH": permanent(
        "a password is asked for: by the server, user:password@, or by a Sentinel, "
        "sentinel_user=, sentinel_password=",
    ),
    "WRONGPASS": permanent(
        "user and password are not taken: by the server, user:password@, or by a Sentinel, "
        "sentinel_user=, sentinel_password=",
    ),
}
"""Behind Sentinels, either the server or a Sentinel may have replied."""

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
"""Codes that redis-py has cut off the text, for errors that do not carry them as `status_code`."""

UNEXPECTED: Final = permanent("it answers as no Redis of version 6.2 or newer would")

MENDED: Final = {"version": "2", "sequence": "1000000000000"}
"""What a field of a queue's meta may be set to: a sequence greater than any that was given."""

_COMMAND: Final = re.compile("'([^']+)' command")


def missing_permission(text: str) -> Meaning:
    """Return the meaning of a NOPERM, with the ACL rule that grants the permission."""
    command = _COMMAND.search(text)
    if command is not None:
        return permanent(f"{_LACKS} +{command[1]}")
    if "database" in text:
        return permanent(f"{_LACKS} db=<number>, that of the URL (or alldbs)")
    sign = "&" if "channel" in text else "~"
    return permanent(f"{_LACKS} {sign}qcore:* (or {sign}namespace:*)")


def raised_by_script(text: str) -> Meaning:
    """Return the meaning of an error that one of our own scripts raises."""
    _, kind, *rest = text.split(" ")
    if kind == "NEWER":
        return permanent(
            "a queue there was written by a newer qcore: upgrade this one, which does not know "
            f"format {' '.join(rest)}"
        )
    if kind == "EDITED":
        key, name, value = " ".join(rest[:-2]), *rest[-2:]
        return permanent(
            f"the {name} in {key} is {value}, which qcore does not write: somebody has edited it. "
            f"Until HSET {key} {name} {MENDED.get(name, '1')} the queue cannot be used"
        )
    if kind == "UNMARKED":
        meta, key = rest[0], " ".join(rest[1:])
        return permanent(
            f"nothing says whether qcore or foreign data made the key {key}: if qcore did, "
            f"somebody has edited the queue, and HSET {meta} version {MENDED['version']} mends it; "
            "else choose another namespace=, or another database; nothing was overwritten"
        )
    if kind == "FOREIGN":
        key, held = " ".join(rest[:-1]), "".join(rest[-1:])
        return permanent(
            f"a key of ours holds foreign data ({key} is a {held}): choose another namespace=, or "
            "another database; nothing was overwritten"
        )
    return UNEXPECTED
