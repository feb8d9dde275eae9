"""`get`, `browse` and `execute`: what an operator asks of tasks, and commands them to do."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import MsgspecError, msgpack

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite import details_rows
from qcore.adapters.sqlite.queue_rows import QueueRow, read_queues, write_queues
from qcore.adapters.sqlite.rare_options import RARE_OPTIONS
from qcore.adapters.sqlite.records import ID, KEY, MORE, PLACE, SEQUENCE, task_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import read_tasks, write_tasks
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.audit import audit_record
from qcore.domain.decisions import carried_out, planned_changes
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.record import record
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task
from qcore.domain.transitions import Command, Updated
from qcore.ports import Page

_SQL: Final = statements("admin")
_STORED: Final = {int, float, str, bytes}
MAX_PRIORITIES: Final = 100
"""Priorities of which the first task is looked at for how long a queue has waited."""
LAST: Final = b"\xff" * 32
"""A value behind all that is ever a place."""


@record
class CommandResult:
    """The answers to a command, and what subscribers are to be told of it."""

    answers: Sequence[Moved | NotAllowed | Missing]
    lost_tokens: Sequence[int] = ()
    """The tokens of the leases that it revoked."""
    ended: Sequence[TaskId] = ()


def get(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks by id, None for one that is not stored."""
    rows = tx.execute(_SQL["get"], (json.dumps(ids), queue))
    found = {row[ID]: task_of(row, queue) for row in rows}
    return [found.get(task) for task in ids]


def browse(tx: Tx, queue: str, state: State, limit: int, cursor: str | None) -> Page:
    """Return a page of the tasks of one queue and state; of ended ones the latest come first."""
    descending = state in ENDED
    if cursor is None:
        after = _start(descending=descending)
    else:
        after = _decode_cursor(cursor)
        after = tuple(map(_text_before, after)) if descending else after
    sql = _SQL["browse_descending" if descending else "browse_ascending"]
    # one row more than asked for tells whether there is another page
    rows = tx.execute(sql, (queue, state, *after, limit + 1))
    shown = rows[:limit]
    more = bool(shown) and len(rows) > limit
    cursor = _encode_cursor(shown[-1]) if more else None
    return Page([task_of(row, queue) for row in shown], cursor)


def _start(*, descending: bool) -> Row:
    # SQLite sorts numbers before texts, and these before blobs
    return (LAST, LAST, LAST) if descending else (-math.inf, -math.inf, -math.inf)


def _encode_cursor(row: Row) -> str:
    return msgpack.encode(row[PLACE]).hex()


def _decode_cursor(cursor: str) -> Row:
    with suppress(ValueError, MsgspecError):
        place, token, sequence = row = tuple(msgpack.decode(bytes.fromhex(cursor)))
        if {type(place), type(token), type(sequence)} <= _STORED:
            return row
    raise InvalidOption(f"{cursor!r} is no cursor of this broker")


def _text_before(part: object) -> object:
    """Return a text before a place that somebody has edited into bytes, or into no text.

    Which of both it is cannot be told from what was read. Bytes are behind both, which is right for
    what comes after them; so pages go on in either direction, and may leave out odd rows alone.
    """
    return part.decode(errors="ignore") if isinstance(part, bytes) else part


def ready_since(tx: Tx, queues: Sequence[str], now: Moment) -> list[Moment | None]:
    """Return since when the task of each queue that has waited longest could have been run."""
    return [_ready_since(tx, queue, now) for queue in queues]


def _ready_since(tx: Tx, queue: str, now: Moment) -> Moment | None:
    rows = tx.execute(_SQL["ready_since"], (queue, MAX_PRIORITIES, now))
    # somebody may have edited what is stored
    moments = [due for (due,) in rows if isinstance(due, float | int)]
    return min(moments, default=None)


def execute(
    tx: Tx, queue: str, ids: Sequence[TaskId], command: Command, now: Moment
) -> CommandResult:
    """Carry out a command on tasks of one queue."""
    queue_row = read_queues(tx, [queue]).get(queue)
    if queue_row is None:
        return CommandResult([Missing() for _ in ids])
    tasks = read_tasks(tx, queue_row, ids)
    tokens = {task: tasks[task].token for task in tasks if tasks[task].state is State.ACTIVE}
    if isinstance(command, Updated):
        return CommandResult(_update(tx, queue_row, ids, command, now))
    answers = [carried_out(tasks.get(task), command, now) for task in ids]
    moved = [tasks[task] for task, answer in zip(ids, answers, strict=True) if _is_moved(answer)]
    write_tasks(tx, moved)
    write_queues(tx, [queue_row])
    _audit(tx, [task.key for task in moved if task.state is not State.GONE], command, now)
    return CommandResult(
        answers,
        [tokens[task.id] for task in moved if task.id in tokens],
        [task.id for task in moved if task.state in ENDED],
    )


def _audit(tx: Tx, keys: Sequence[int], command: Command, now: Moment) -> None:
    record = audit_record(command, now)
    if record is not None and keys:
        details_rows.add_audit(tx, keys, record)


def _update(
    tx: Tx, queue_row: QueueRow, ids: Sequence[TaskId], change: Updated, now: Moment
) -> list[Moved | NotAllowed | Missing]:
    """Change options of tasks that the command may change."""
    rows = tx.execute(_SQL["get"], (json.dumps(ids), queue_row.name))
    found = {row[ID]: (row, task_of(row, queue_row.name)) for row in rows}
    plan = planned_changes(ids, {each: task for each, (_, task) in found.items()}, change)
    for task, spec in plan.changes:
        row = found[task.id][0]
        same = spec.priority == task.spec.priority
        sequence = row[SEQUENCE] if same else queue_row.next_sequence()
        before, after = RARE_OPTIONS.encode(task.spec), RARE_OPTIONS.encode(spec)
        # an unchanged value stays as stored, with options that only a newer qcore knows
        more = row[MORE] if before == after else after
        tx.execute(_SQL["update"], (*_changeable(spec, sequence), more, row[KEY]))
    write_queues(tx, [queue_row])
    _audit(tx, [found[each][0][KEY] for each in plan.changed_ids], change, now)
    return plan.answers


def _changeable(spec: NewTask, sequence: int) -> Row:
    """Return the values of the statement "update" but the last."""
    return (
        spec.priority,
        sequence,
        spec.priority,
        spec.payload,
        spec.content_type,
        spec.max_retry,
        spec.max_crashes,
        spec.backoff,
        spec.deadline,
        spec.timeout,
        spec.expires,
        spec.retention,
        json.dumps(dict(spec.headers)) if spec.headers else None,
    )


def _is_moved(answer: Moved | NotAllowed | Missing) -> bool:
    return isinstance(answer, Moved)
