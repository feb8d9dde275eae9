"""Rows of the table `details`: a task's error history, progress, saved work and audit trail.

In a table of their own, as most tasks have none of them, and a row that moves is written anew as a
whole.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from qcore.adapters.links.postgres import Tx
from qcore.adapters.links.postgres.arrays import blobs, texts
from qcore.adapters.postgres.places import of_queue
from qcore.adapters.postgres.statements import statements
from qcore.domain.audit import MAX_AUDIT, AuditRecord
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import MAX_ERRORS, AttemptError, Details, Progress
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.stored_details import audit_in, columns_of, encoded, errors_in, progress_in

_SQL: Final = statements("details")


async def read(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None for a task that is not stored."""
    rows = await tx.fetch(_SQL["read"], of_queue(queue, dict.fromkeys(ids)))
    found = {
        task: Details(
            errors_in(errors),
            progress_in(progress),
            saved,
            audit_in(audit),
        )
        for task, errors, progress, saved, audit in rows
    }
    return [found.get(task) for task in ids]


async def add_errors(tx: Tx, errors: Sequence[tuple[str, TaskId, AttemptError]]) -> None:
    """Append errors to the histories of tasks; keep the last `MAX_ERRORS`."""
    if not errors:
        return
    added: defaultdict[tuple[str, TaskId], list[AttemptError]] = defaultdict(list)
    for queue, task, error in errors:
        added[queue, task].append(error)
    values = _named([*added])
    kept = {
        (queue, task): errors_in(errors_before)
        for queue, task, errors_before in await tx.fetch(_SQL["errors_of_tasks"], values)
    }
    histories = [
        encoded((*kept.get(place, ()), *more)[-MAX_ERRORS:]) for place, more in added.items()
    ]
    tx.add(_SQL["write_errors"], {**values, "errors": texts(histories)})


async def add_audit(tx: Tx, queue: str, ids: Sequence[TaskId], record: AuditRecord) -> None:
    """Append a record to the audit trails of tasks of a queue; keep the last `MAX_AUDIT`.

    A task that is named twice gets it twice.
    """
    times = Counter(ids)
    values = _named([(queue, task) for task in times])
    rows = await tx.fetch(_SQL["audit_of_tasks"], values)
    kept = {task: audit_in(audit) for _, task, audit in rows}
    trails = [
        encoded((*kept.get(task, ()), *[record] * number)[-MAX_AUDIT:])
        for task, number in times.items()
    ]
    tx.add(_SQL["write_audit"], {**values, "audit": texts(trails)})


def save(tx: Tx, queue: str, task: TaskId, progress: Progress | None, saved: bytes | None) -> None:
    """Store a running task's progress and saved work; None leaves what is stored."""
    written = None if progress is None else encoded(progress)
    tx.add(_SQL["save"], {"queue": queue, "id": task, "progress": written, "saved": saved})


def insert(tx: Tx, snapshots: Sequence[TaskSnapshot]) -> None:
    """Store the details of tasks as they were."""
    columns = [columns_of(each.details) for each in snapshots]
    tx.add(
        _SQL["insert"],
        {
            **_named([(each.queue, each.task.id) for each in snapshots]),
            "errors": texts([each["errors"] for each in columns]),
            "progress": texts([each["progress"] for each in columns]),
            "saved": blobs([each["saved"] for each in columns]),
            "audit": texts([each["audit"] for each in columns]),
        },
    )


def _named(pairs: Sequence[tuple[str, TaskId]]) -> Mapping[str, Any]:
    return {
        "queues": texts([queue for queue, _ in pairs]),
        "ids": texts([task for _, task in pairs]),
    }
