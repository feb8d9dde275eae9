"""Notifications as NOTIFY carries them: a channel for each kind, and the queue in the payload.

So who waits for work alone is sent nothing of results. `WorkAvailable` has no queue; a `Work` has,
as others listen for other queues.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias

from qcore.adapters.links.postgres.arrays import texts
from qcore.adapters.links.postgres.interfaces import Statement
from qcore.domain.record import record
from qcore.ports import EntriesChanged, LeaseEnded, Notification, TasksChanged, WorkAvailable

MAX_PAYLOAD: Final = 7_900
"""Bytes; Postgres takes less than 8,000."""


@record
class Work:
    """There may be something new to claim from a queue."""

    queue: str


NOTIFY: Final = (
    "SELECT pg_notify(n.channel, n.payload) "
    "FROM unnest(%(channels)s::text[], %(payloads)s::text[]) AS n (channel, payload)"
)

Note: TypeAlias = Work | LeaseEnded | TasksChanged | EntriesChanged
"""What is told of one queue."""

KINDS: Final = {
    "work": WorkAvailable,
    "leases": LeaseEnded,
    "tasks": TasksChanged,
    "entries": EntriesChanged,
}
"""The end of a channel's name to the kind of what comes on it."""


def channel(schema: str, name: str) -> str:
    """Return the name of a channel."""
    return f"{schema}.{name}"


def notify(schema: str, notes: Iterable[Notification | Work]) -> Statement:
    """Return the statement that says this, each once."""
    said = dict.fromkeys(each for note in notes for each in _encode(note))
    values = {
        "channels": texts(channel(schema, name) for name, _ in said),
        "payloads": texts(payload for _, payload in said),
    }
    return NOTIFY, values


def _encode(note: Notification | Work) -> Iterator[tuple[str, str]]:
    match note:
        case Work():
            yield "work", note.queue
        case LeaseEnded():
            yield "leases", json.dumps([note.queue, note.token])
        case EntriesChanged():
            yield "entries", note.queue
        case TasksChanged():
            payload = json.dumps([note.queue, *note.ids], ensure_ascii=False)
            if len(payload.encode()) > MAX_PAYLOAD:
                # without ids it says that any of the queue may have changed
                payload = json.dumps([note.queue], ensure_ascii=False)
            yield "tasks", payload
        case WorkAvailable():
            # of no queue: told by those who look, and to nobody else
            return


def decoded(name: str, payload: str) -> Note | None:
    """Return what a payload says; None for one that somebody else has sent."""
    if name == "work":
        return Work(payload)
    if name == "entries":
        return EntriesChanged(payload)
    with suppress(ValueError, TypeError):
        queue, *rest = json.loads(payload)
        if name == "leases":
            return LeaseEnded(queue, int(rest[0]))
        if name == "tasks":
            return TasksChanged(queue, tuple(rest))
    return None
