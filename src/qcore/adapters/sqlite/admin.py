"""What an operator asks and orders."""

import json
import math
from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.sqlite import Row, Tx
from qcore.adapters.sqlite.queue_rows import Line, keep, lines
from qcore.adapters.sqlite.rare_options import written
from qcore.adapters.sqlite.records import ID, KEY, MORE, PLACE, SEQUENCE, task_of
from qcore.adapters.sqlite.statements import statements
from qcore.adapters.sqlite.transitions import Moving, named, write
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.errors import InvalidOption
from qcore.domain.lifecycle import ENDED, MOVES, Command, State, Updated
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.record import record
from qcore.domain.task import Task, changed
from qcore.ports import Page

_SQL: Final = statements("admin")


@record
class Ordered:
    """What became of an order, the tokens of the leases that it ended, and the tasks it did."""

    answers: Sequence[Moved | NotAllowed | Missing]
    lost: Sequence[int] = ()
    ended: Sequence[TaskId] = ()


def get(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks as they are."""
    rows = tx.execute(_SQL["get"], (json.dumps(ids), queue))
    found = {row[ID]: task_of(row, queue) for row in rows}
    return [found.get(task) for task in ids]


def browse(tx: Tx, queue: str, state: State, limit: int, cursor: str | None) -> Page:
    """Return tasks of one queue and state, page by page; ended ones with the latest first."""
    backwards = state in ENDED
    after = _start(backwards=backwards) if cursor is None else _read(cursor)
    sql = _SQL["downwards" if backwards else "upwards"]
    rows = tx.execute(sql, (queue, state, *after, limit + 1))
    shown = rows[:limit]
    more = bool(shown) and len(rows) > limit
    return Page([task_of(row, queue) for row in shown], _written(shown[-1]) if more else None)


def _start(*, backwards: bool) -> Row:
    return (math.inf if backwards else -math.inf, 0, 0)


def _written(row: Row) -> str:
    """Return where a row stands, as a cursor."""
    return ",".join(repr(part) for part in row[PLACE])


def _read(cursor: str) -> Row:
    try:
        place, token, sequence = cursor.split(",")
        return float(place), int(token), int(sequence)
    except ValueError:
        raise InvalidOption(f"{cursor!r} is no cursor of this broker") from None


def execute(tx: Tx, queue: str, ids: Sequence[TaskId], what: Command, now: Moment) -> Ordered:
    """Carry out an order on tasks of one queue."""
    line = lines(tx, [queue]).get(queue)
    if line is None:
        return Ordered([Missing() for _ in ids])
    tasks = named(tx, line, ids)
    held = {task: tasks[task].token for task in tasks if tasks[task].state is State.ACTIVE}
    if isinstance(what, Updated):
        return Ordered(_update(tx, line, ids, what))
    answers = [_carry_out(tasks.get(task), what, now) for task in ids]
    moved = [tasks[task] for task, answer in zip(ids, answers, strict=True) if _is_moved(answer)]
    write(tx, moved)
    keep(tx, [line])
    return Ordered(
        answers,
        [held[task.id] for task in moved if task.id in held],
        [task.id for task in moved if task.state in ENDED],
    )


def _update(
    tx: Tx, line: Line, ids: Sequence[TaskId], what: Updated
) -> list[Moved | NotAllowed | Missing]:
    """Change what was asked for."""
    rows = tx.execute(_SQL["get"], (json.dumps(ids), line.name))
    found = {row[ID]: (row, task_of(row, line.name)) for row in rows}
    answers: list[Moved | NotAllowed | Missing] = []
    for each in ids:
        if each not in found:
            answers.append(Missing())
            continue
        row, task = found[each]
        if Updated not in MOVES[task.state]:
            answers.append(NotAllowed(task.state))
            continue
        spec = changed(task.spec, what)
        same = spec.priority == task.spec.priority
        sequence = row[SEQUENCE] if same else line.next_sequence()
        before, after = written(task.spec), written(spec)
        # as it is stored, where it stays: another qcore may know more of it
        more = row[MORE] if before == after else after
        tx.execute(_SQL["update"], (*_changeable(spec, sequence), more, row[KEY]))
        answers.append(Moved(task.state))
    keep(tx, [line])
    return answers


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


def _carry_out(task: Moving | None, what: Command, now: Moment) -> Moved | NotAllowed | Missing:
    if task is None or task.state is State.GONE:
        return Missing()
    if type(what) not in MOVES[task.state]:
        return NotAllowed(task.state)
    return Moved(task.move(what, now))
