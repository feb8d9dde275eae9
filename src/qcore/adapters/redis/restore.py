"""Restore: store tasks as they were, in calls of at most 250 tasks and 512 KiB."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Final
from urllib.parse import quote

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.details_codec import encode, encode_each
from qcore.adapters.redis.encoding import encode_id, encode_sequence
from qcore.adapters.redis.enqueue import MAX_BYTES_PER_CALL, stored_in_the_way
from qcore.adapters.redis.records import AS_ASKED, SAFE, RunRecord, decode_meta, encode_task
from qcore.adapters.redis.script_runner import (
    MAX_TASKS_PER_CALL,
    ScriptRunner,
    group_by_queue,
    raise_outage,
    refuse_in_part,
)
from qcore.adapters.redis.scripts import RESTORE
from qcore.adapters.redis.task_state import places_of
from qcore.domain.answers import Restoration, Restored
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.snapshots import (
    TaskSnapshot,
    asked_due,
    is_successor,
    key_until,
    restored_state,
)
from qcore.domain.states import ENDED
from qcore.domain.task import Task


async def restore(
    runner: ScriptRunner, snapshots: Sequence[TaskSnapshot], now: Moment, over: str | None
) -> Sequence[Restoration]:
    """Store tasks as they were."""
    answers: list[Restoration | BrokerRefused] = [
        Restored(each.task.id, restored_state(each.task)) for each in snapshots
    ]
    by_queue = group_by_queue((each.queue, n) for n, each in enumerate(snapshots))
    if not by_queue:
        return []
    # registered first: an unregistered queue is never listed, an unused name does no harm
    await runner.link.command("SADD", runner.keys.registry, *by_queue)
    calls = [
        (queue, chunk, None if is_again else over)
        for queue, places in by_queue.items()
        for chunk, is_again in _chunks(snapshots, places)
    ]
    asked = [
        ([queue], [*_words([snapshots[n] for n in chunk], now, replaced)])
        for queue, chunk, replaced in calls
    ]
    replies = await runner.run_once(RESTORE, asked, durable=True, partial=True)
    raise_outage(replies)
    for (_, chunk, _), reply in zip(calls, replies, strict=True):
        if isinstance(reply, BrokerRefused):
            for n in chunk:
                answers[n] = reply
            continue
        refused = reply.split()
        for place, why in zip(refused[::2], refused[1::2], strict=True):
            n = chunk[int(place)]
            answers[n] = stored_in_the_way(snapshots[n].task.id, why)
    return refuse_in_part(answers)


def _chunks(
    snapshots: Sequence[TaskSnapshot], places: Sequence[int]
) -> Iterator[tuple[list[int], bool]]:
    """Yield the places of snapshots that go into one call each, and whether their ids came before.

    No id is in a call twice, and not too much. What has been restored by an earlier one of these
    calls is replaced by nothing, so ids that come again have calls of their own.
    """
    chunk: list[int] = []
    ids: set[TaskId] = set()
    seen: set[TaskId] = set()
    size, come_again = 0, False
    for place in places:
        snapshot = snapshots[place]
        task, room = snapshot.task.id, MAX_BYTES_PER_CALL - _size(snapshot)
        is_full = len(chunk) == MAX_TASKS_PER_CALL or size > room
        if chunk and (is_full or task in ids or (task in seen) != come_again):
            yield chunk, come_again
            chunk, ids, size = [], set[TaskId](), 0
        come_again = task in seen
        chunk.append(place)
        ids.add(task)
        seen.add(task)
        size += _size(snapshot)
    yield chunk, come_again


def _size(snapshot: TaskSnapshot) -> int:
    """Return how many bytes of contents a task has."""
    contents = snapshot.task.spec.payload, snapshot.task.result, snapshot.details.saved
    return sum(len(each) for each in contents if each is not None)


def _words(snapshots: Sequence[TaskSnapshot], now: Moment, over: str | None) -> Iterator[Arg]:
    """Yield the arguments of lua/restore.lua."""
    yield repr(now)
    yield "0" if over is None else "1"
    yield "" if over is None else over.encode(errors="replace")
    yield len(snapshots)
    for each in snapshots:
        yield from _words_of(each, now)


def _words_of(snapshot: TaskSnapshot, now: Moment) -> Iterator[Arg]:
    task, details = snapshot.task, snapshot.details
    name, body = encode_id(task.id), encode_task(task.spec, task.created)
    yield name
    yield body
    yield _record(task, task.due)
    places = [
        *places_of(
            restored_state(task),
            decode_meta(_ANY_SEQUENCE + body),
            b"",
            name if isinstance(name, bytes) else name.encode(),
            task.due,
            task.finished,
        )
    ]
    yield len(places)
    for key, score, member in places:
        yield int(key)
        yield repr(score)
        yield member
    yield from _key_of(task, now)
    yield encode_each(details.errors)
    yield b"" if details.progress is None else encode(details.progress)
    yield encode_each(details.audit)
    yield 0 if details.saved is None else 1
    yield b"" if details.saved is None else details.saved


NO_KEY: Final = ("", "", "", "")
_ANY_SEQUENCE: Final = encode_sequence(0).encode()
"""The script gives each task its own."""


def _key_of(task: Task, now: Moment) -> Sequence[Arg]:
    """Return the unique key that a task takes or waits for, and what goes with it."""
    key, until, waits = task.spec.unique_key, key_until(task), is_successor(task)
    if key is None or task.state in ENDED or not (waits or until > now):
        return NO_KEY
    last = "-" if until == inf else repr(until)
    if not waits:
        return quote(key, SAFE), last, "", ""
    due = asked_due(task)
    return quote(key, SAFE), last, repr(due), _record(task, due)


def _record(task: Task, due: Moment) -> bytes:
    """Return the run record of a task that is due then; nothing where it would say nothing."""
    record = RunRecord(None)
    empty = record.text()
    record.attempts, record.failures, record.crashes = task.attempts, task.failures, task.crashes
    record.due = AS_ASKED if due == asked_due(task) else due
    record.unhandled_since, record.finished = task.unhandled_since, task.finished
    record.error, record.result_type, record.result = task.error, task.result_type, task.result
    text = record.text()
    return b"" if text == empty else text
