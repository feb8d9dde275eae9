"""Rows of `qcore_details`, a task's error history, progress and saved work, and of `qcore_audit`.

In tables of their own, as most tasks have none of them and each column of `qcore_tasks` is paid for
by every task.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar, cast

import msgspec

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.audit import MAX_AUDIT, AuditRecord
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import MAX_ERRORS, AttemptError, Details, Progress
from qcore.domain.stored_errors import stored_form

_SQL: Final = statements("details")
_ERRORS: Final = msgspec.json.Decoder(tuple[AttemptError, ...])
_PROGRESS: Final = msgspec.json.Decoder(Progress)
_AUDIT: Final = msgspec.json.Decoder(tuple[AuditRecord, ...])

T = TypeVar("T")


def read(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None for a task that is not stored."""
    rows = tx.execute(_SQL["read"], (json.dumps(list(ids)), queue))
    found = {
        task: Details(
            _decode(_ERRORS, errors) or (),
            _decode(_PROGRESS, progress),
            _bytes(saved),
            _decode(_AUDIT, audit) or (),
        )
        for task, errors, progress, saved, audit in rows
    }
    return [found.get(task) for task in ids]


def add_errors(tx: Tx, errors: Iterable[tuple[int, AttemptError]]) -> None:
    """Append errors to the histories of tasks, by their keys; keep the last `MAX_ERRORS`."""
    for key, error in errors:
        rows = tx.execute(_SQL["errors_of_task"], (key,))
        earlier = (_decode(_ERRORS, rows[0][0]) if rows else None) or ()
        tx.executemany(_SQL["write_errors"], [(key, _encode((*earlier, error)[-MAX_ERRORS:]))])


def add_audit(tx: Tx, keys: Sequence[int], record: AuditRecord) -> None:
    """Append a record to the audit trails of tasks, by their keys; keep the last `MAX_AUDIT`.

    A key that is named twice gets it twice.
    """
    times = Counter(keys)
    rows = tx.execute(_SQL["audit_of_tasks"], (json.dumps([*times]),))
    kept = {key: _decode(_AUDIT, audit) or () for key, audit in rows}
    first = _encode((record,))
    tx.executemany(
        _SQL["write_audit"],
        [
            (key, first)
            if number == 1 and key not in kept
            else (key, _encode((*kept.get(key, ()), *[record] * number)[-MAX_AUDIT:]))
            for key, number in times.items()
        ],
    )


def save(tx: Tx, key: int, progress: Progress | None, saved: bytes | None) -> None:
    """Store a running task's progress and saved work, by its key; None leaves what is stored."""
    tx.executemany(_SQL["save"], [(key, None if progress is None else _encode(progress), saved)])


def values_of(details: Details) -> dict[str, str | bytes | None]:
    """Return details as values of the tables' columns."""
    return {
        "errors": _encode(details.errors) if details.errors else None,
        "progress": None if details.progress is None else _encode(details.progress),
        "saved": details.saved,
        "audit": _encode(details.audit) if details.audit else None,
    }


def delete(tx: Tx, keys: Sequence[int]) -> None:
    """Delete the details of tasks that are gone."""
    for any_row, deletion in (("any", "delete"), ("any_audit", "delete_audit")):
        if tx.execute(_SQL[any_row]):
            tx.executemany(_SQL[deletion], [(key,) for key in keys])


def _encode(value: object) -> str:
    if isinstance(value, tuple):
        value = [*map(stored_form, cast("tuple[object, ...]", value))]
    return msgspec.json.encode(value).decode()


def _decode(decoder: msgspec.json.Decoder[T], text: str | bytes | None) -> T | None:
    """Return what is stored; None where it was edited by hand into something else."""
    if text is None:
        return None
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, TypeError):
        return None


def _bytes(saved: object) -> bytes | None:
    # an UPDATE typed in a shell stores TEXT in a BLOB column
    return saved.encode() if isinstance(saved, str) else saved if isinstance(saved, bytes) else None
