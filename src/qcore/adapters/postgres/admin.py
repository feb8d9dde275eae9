"""`get`, `browse` and `execute`: what an operator asks of tasks, and commands them to do."""

from collections.abc import Sequence
from contextlib import suppress
from math import inf
from typing import Final

from msgspec import MsgspecError, msgpack

from qcore.adapters.links.postgres import Row, Tx
from qcore.adapters.links.postgres.arrays import blobs, numbers, texts
from qcore.adapters.postgres import details_rows
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.places import of_queue
from qcore.adapters.postgres.records import ID, OPTIONS, STORED_OPTIONS, WIDTH, task_of
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames, record
from qcore.adapters.postgres.transitions import read_tasks, write_tasks
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.audit import audit_record
from qcore.domain.decisions import carried_out, planned_changes
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.states import ACTIVE, ENDED, State
from qcore.domain.task import Task
from qcore.domain.transitions import Command, Updated
from qcore.ports import LeaseEnded, Page, TasksChanged

_SQL: Final = statements("admin")
MAX_PRIORITIES: Final = 100
"""Priorities of which the first task is looked at for how long a queue has waited."""
MAX_PLACE: Final = (1 << 15) - 1
"""What a priority is stored as at most."""
MAX_SEQUENCE: Final = (1 << 63) - 1

Answer = Moved | NotAllowed | Missing


async def get(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks by id, None for one that is not stored."""
    rows = await tx.fetch(_SQL["get"], of_queue(queue, dict.fromkeys(ids)))
    found = {row[ID]: task_of(row, queue) for row in rows}
    return [found.get(task) for task in ids]


async def browse(tx: Tx, queue: str, state: State, limit: int, cursor: str | None) -> Page:
    """Return a page of the tasks of one queue and state; of ended ones the latest come first."""
    descending = state in ENDED
    if cursor is None:
        place, sequence = (inf, MAX_SEQUENCE) if descending else (-inf, -1)
    else:
        place, sequence = _decode_cursor(cursor)
    name = "ended" if descending else str(state)
    # one row more than asked for tells whether there is another page
    values = {
        "queue": queue,
        "state": str(state),
        "place": place,
        "priority": int(max(-MAX_PLACE, min(MAX_PLACE, -place))),
        "sequence": sequence,
        "limit": limit + 1,
    }
    rows = await tx.fetch(_SQL[f"browse_{name}"], values) if f"browse_{name}" in _SQL else []
    shown = rows[:limit]
    more = bool(shown) and len(rows) > limit
    next_cursor = msgpack.encode(shown[-1][WIDTH:]).hex() if more else None
    return Page([task_of(row[:WIDTH], queue) for row in shown], next_cursor)


def _decode_cursor(cursor: str) -> tuple[float, int]:
    with suppress(ValueError, MsgspecError):
        place, sequence = msgpack.decode(bytes.fromhex(cursor), type=tuple[float, int])
        return place, sequence
    raise InvalidOption(f"{cursor!r} is no cursor of this broker")


async def ready_since(tx: Tx, queues: Sequence[str], now: Moment) -> list[Moment | None]:
    """Return since when the task of each queue that has waited longest could have been run."""
    answers: list[Moment | None] = []
    for queue in queues:
        values = {"queue": queue, "now": now, "priorities": MAX_PRIORITIES}
        ((due,),) = await tx.fetch(_SQL["ready_since"], values)
        answers.append(due)
    return answers


async def execute(
    tx: Tx,
    queue: str,
    ids: Sequence[TaskId],
    command: Command,
    now: Moment,
    *,
    known: KnownNames,
) -> list[Answer]:
    """Carry out a command on tasks of one queue."""
    tx.tell_of_work([queue])
    if isinstance(command, Updated):
        return await _update(tx, queue, ids, command, now)
    endings = Endings()
    found = await read_tasks(tx, [(queue, task) for task in ids], endings)
    tasks = {task: state for (_, task), state in found.items()}
    tokens = {task: each.token for task, each in tasks.items() if each.state is ACTIVE}
    answers = [carried_out(tasks.get(task), command, now) for task in ids]
    named = [task for task, answer in zip(ids, answers, strict=True) if isinstance(answer, Moved)]
    moved = [tasks[task] for task in dict.fromkeys(named)]
    await write_tasks(tx, moved)
    await record(tx, endings, known)
    await _audit(
        tx, queue, [task for task in named if tasks[task].state is not State.GONE], command, now
    )
    for task in moved:
        token = tokens.get(task.id)
        if token is not None:
            tx.tell(LeaseEnded(queue, token))
    if ended := tuple(task.id for task in moved if task.state in ENDED):
        tx.tell(TasksChanged(queue, ended))
    return answers


async def _audit(tx: Tx, queue: str, ids: Sequence[TaskId], command: Command, now: Moment) -> None:
    audit = audit_record(command, now)
    if audit is not None and ids:
        await details_rows.add_audit(tx, queue, ids, audit)


async def _update(
    tx: Tx, queue: str, ids: Sequence[TaskId], change: Updated, now: Moment
) -> list[Answer]:
    """Change options of tasks that the command may change."""
    rows = await tx.fetch(_SQL["lock"], of_queue(queue, dict.fromkeys(ids)))
    found = {row[ID]: (row, task_of(row, queue)) for row in rows}
    plan = planned_changes(ids, {each: task for each, (_, task) in found.items()}, change)
    if plan.changes:
        _write_specs(
            tx, queue, [_written(found[task.id][0], task, spec) for task, spec in plan.changes]
        )
    await _audit(tx, queue, plan.changed_ids, change, now)
    return plan.answers


def _written(row: Row, task: Task, spec: NewTask) -> tuple[NewTask, bool, str | None]:
    """Return a task as it is to be, whether it changes its place, and its options."""
    before, after = STORED_OPTIONS.encode(task.spec), STORED_OPTIONS.encode(spec)
    # an unchanged value stays as stored, with options that only a newer qcore knows
    options = row[OPTIONS] if before == after else after
    return spec, spec.priority != task.spec.priority, options


def _write_specs(tx: Tx, queue: str, changes: Sequence[tuple[NewTask, bool, str | None]]) -> None:
    specs = [spec for spec, _, _ in changes]
    values = {
        **of_queue(queue, [spec.id for spec in specs]),
        "places": numbers([n if moves else None for n, (_, moves, _) in enumerate(changes)]),
        "priorities": numbers([spec.priority for spec in specs]),
        "max_crashes": numbers([spec.max_crashes for spec in specs]),
        "expires": numbers([spec.expires for spec in specs]),
        "retention": numbers([spec.retention for spec in specs]),
        "options": texts([options for _, _, options in changes]),
        "payloads": blobs([spec.payload for spec in specs]),
    }
    tx.add(_SQL["update"], values)
