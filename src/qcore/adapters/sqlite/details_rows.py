"""Rows of `qcore_details`, a task's error history, progress and saved work, and of `qcore_audit`.

In tables of their own, as most tasks have none of them and each column of `qcore_tasks` is paid for
by every task.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.audit import MAX_AUDIT, AuditRecord
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import MAX_ERRORS, AttemptError, Details, Progress
from qcore.domain.stored_details import audit_in, encoded, errors_in, progress_in

_SQL: Final = statements("details")


def read(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None for a task that is not stored."""
    rows = tx.execute(_SQL["read"], (json.dumps(list(ids)), queue))
    found = {
        task: Details(
            errors_in(errors),
            progress_in(progress),
            _bytes(saved),
            audit_in(audit),
        )
        for task, errors, progress, saved, audit in rows
    }
    return [found.get(task) for task in ids]


def add_errors(tx: Tx, errors: Iterable[tuple[int, AttemptError]]) -> None:
    """Append errors to the histories of tasks, by their keys; keep the last `MAX_ERRORS`."""
    for key, error in errors:
        rows = tx.execute(_SQL["errors_of_task"], (key,))
        earlier = errors_in(rows[0][0]) if rows else ()
        tx.executemany(_SQL["write_errors"], [(key, encoded((*earlier, error)[-MAX_ERRORS:]))])


def add_audit(tx: Tx, keys: Sequence[int], record: AuditRecord) -> None:
    """Append a record to the audit trails of tasks, by their keys; keep the last `MAX_AUDIT`.

    A key that is named twice gets it twice.
    """
    times = Counter(keys)
    rows = tx.execute(_SQL["audit_of_tasks"], (json.dumps([*times]),))
    kept = {key: audit_in(audit) for key, audit in rows}
    first = encoded((record,))
    tx.executemany(
        _SQL["write_audit"],
        [
            (key, first)
            if number == 1 and key not in kept
            else (key, encoded((*kept.get(key, ()), *[record] * number)[-MAX_AUDIT:]))
            for key, number in times.items()
        ],
    )


def save(tx: Tx, key: int, progress: Progress | None, saved: bytes | None) -> None:
    """Store a running task's progress and saved work, by its key; None leaves what is stored."""
    tx.executemany(_SQL["save"], [(key, None if progress is None else encoded(progress), saved)])


def delete(tx: Tx, keys: Sequence[int]) -> None:
    """Delete the details of tasks that are gone."""
    for any_row, deletion in (("any", "delete"), ("any_audit", "delete_audit")):
        if tx.execute(_SQL[any_row]):
            tx.executemany(_SQL[deletion], [(key,) for key in keys])


def _bytes(saved: object) -> bytes | None:
    # an UPDATE typed in a shell stores TEXT in a BLOB column
    return saved.encode() if isinstance(saved, str) else saved if isinstance(saved, bytes) else None
