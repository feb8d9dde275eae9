"""The keys under a namespace: unregistered queues, and keys that are not qcore's."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import Node
from qcore.adapters.redis.keys import ENTRY_KEYS, Key, Keys, queue_name
from qcore.doctor.redis.server_queries import ServerQueries
from qcore.domain.diagnostics import Finding, advice, error, ok, warning
from qcore.domain.record import record

ROUNDS: Final = 20
AT_ONCE: Final = 1_000
"""Keys that one SCAN examines, of whatever name."""
PROBE_PREFIX: Final = "qcore-doctor-"
"""What the queues of examinations begin with: another examination may be running."""
SHOWN: Final = 5

_STATISTICS: Final = re.compile(r"}:(minute|hour|day):\d+\Z")
"""What has ended in a queue, which may be over: such keys go by themselves."""
_NAMES: Final = {*ENTRY_KEYS, *(key.name.lower() for key in Key if key is not Key.SESSION)}


@record
class Namespace:
    """What was found under a namespace."""

    known: Sequence[str]
    """The queues that the registry names."""
    junk: Sequence[str]
    """Other members of the registry: names that no queue can have, quoted."""
    unknown: Sequence[str]
    """Queues that have keys, and that it does not name."""
    unlisted: Sequence[str]
    """Queues that have entries, and that the registry of such does not name."""
    foreign: Sequence[str]
    """Keys that are nobody's queue's."""
    is_set: bool
    """Whether the registry is a set, or not there."""
    is_read: bool
    """Whether a server has told what the registry names: of a cluster, the one that has it."""


async def names(nodes: Sequence[Node], keys: Keys, queries: ServerQueries) -> Namespace:
    """Return what is under a namespace, of the first keys of each server."""
    known: set[str] = set()
    junk: set[str] = set()
    stored: set[str] = set()
    listed: set[str] = set()
    with_entries: set[str] = set()
    foreign: set[str] = set()
    is_set, is_read, is_list_read = True, False, False
    ours = {keys.registry, keys.entry_registry, *keys.workers}
    for node in nodes:
        kind, members, having_entries = await queries.ask(
            node,
            ("TYPE", keys.registry),
            ("SMEMBERS", keys.registry),
            ("SMEMBERS", keys.entry_registry),
        )
        is_list_read = is_list_read or having_entries is not None
        listed.update(filter(None, map(queue_name, having_entries or ())))
        is_set = is_set and kind in {None, b"none", b"set"}
        is_read = is_read or members is not None
        for member in members or ():
            name = queue_name(member)
            known.add(name) if name is not None else junk.add(_quoted(member))
        async for key in _scanned(node, keys.registry, queries):
            queue = _queue_of(key, keys.registry)
            if queue is not None:
                stored.add(queue)
                if key == keys.entries(queue)[0]:
                    with_entries.add(queue)
            elif not (key in ours or _STATISTICS.search(key)):
                foreign.add(key)
    lost = {queue for queue in stored - known if not queue.startswith(PROBE_PREFIX)}
    return Namespace(
        sorted(known),
        sorted(junk),
        sorted(lost),
        sorted(with_entries - listed) if is_list_read else (),
        sorted(foreign),
        is_set,
        is_read,
    )


def _quoted(member: bytes) -> str:
    """Return a member as redis-cli takes it."""
    return '"' + repr(member)[2:-1].replace('"', '\\"') + '"'


async def _scanned(node: Node, registry: str, queries: ServerQueries) -> AsyncIterator[str]:
    """Yield the keys under the namespace among the first thousands of a server."""
    prefix = re.sub(r"([*?\[\]\\^])", r"\\\1", registry.removesuffix("queues"))
    cursor: str = "0"
    for _ in range(ROUNDS):
        [reply] = await queries.ask(node, ("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", AT_ONCE))
        if reply is None:
            return
        for key in reply[1]:
            yield key.decode(errors="replace")
        cursor = reply[0].decode()
        if cursor == "0":
            return


def _queue_of(key: str, registry: str) -> str | None:
    """Return whose key it is, None for one that is no queue's."""
    queue, brace, name = key.removeprefix(registry.removesuffix("queues")).partition("}:")
    if not (queue.startswith("{") and brace):
        return None
    return queue[1:] if name in _NAMES or name.startswith("session:") else None


def namespace(found: Namespace, keys: Keys) -> Iterator[Finding]:
    """Tell whether anybody else is under our namespace, and whether the registry is whole."""
    if not found.is_set:
        yield error(
            "namespace",
            f"the key {keys.registry} is not ours: no queue can be made",
            "choose another namespace= or database, or remove that key",
        )
    if found.foreign:
        space = keys.registry.removesuffix("queues")
        yield advice(
            "namespace",
            f"{len(found.foreign)} keys under {space} are not qcore's, such as {found.foreign[0]}",
            "keep them elsewhere, or choose another namespace=",
        )
    if found.junk:
        yield warning(
            "namespace",
            f"{keys.registry} has {len(found.junk)} members that no queue can be named, such as "
            f"{found.junk[0]}: they are passed over",
            f"SREM {keys.registry} {' '.join(found.junk[:SHOWN])}",
        )
    if found.is_set and not found.is_read:
        yield warning(
            "namespace",
            f"{keys.registry} cannot be read: which queues it names is not known",
            f"ACL SETUSER <user> +smembers ~{keys.registry}",
        )
    elif found.unknown:
        some = ", ".join(found.unknown[:SHOWN])
        yield warning(
            "namespace",
            f"the registry does not name {len(found.unknown)} queues that are there: {some}; they "
            "are not counted, nor shown",
            f"SADD {keys.registry} {' '.join(found.unknown[:SHOWN])}",
        )
    if found.unlisted:
        registry = keys.entry_registry
        yield warning(
            "namespace",
            f"{registry} does not name {len(found.unlisted)} queues that have periodic tasks: "
            f"{', '.join(found.unlisted[:SHOWN])}; these are not listed, and not made on a cluster",
            f"SADD {registry} {' '.join(found.unlisted[:SHOWN])}",
        )
    amiss = found.foreign or found.unknown or found.junk or found.unlisted
    if found.is_set and found.is_read and not amiss:
        many = len(found.known)
        yield ok("namespace", f"{keys.registry} names {many} queue{'' if many == 1 else 's'}")
