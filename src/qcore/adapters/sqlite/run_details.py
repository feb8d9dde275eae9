"""What is kept of tasks' runs: errors, progress and saved work, in a table of their own."""

import json
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import MAX_ERRORS, AttemptError, Details, Progress

_SQL: Final = statements("run_details")
_ERRORS: Final = msgspec.json.Decoder(tuple[AttemptError, ...])
_PROGRESS: Final = msgspec.json.Decoder(Progress)

T = TypeVar("T")


def get(tx: Tx, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return what is kept of the runs of tasks."""
    rows = tx.execute(_SQL["get"], (json.dumps(list(ids)), queue))
    found = {
        task: Details(_read(_ERRORS, errors) or (), _read(_PROGRESS, progress), _bytes(saved))
        for task, errors, progress, saved in rows
    }
    return [found.get(task) for task in ids]


def add_errors(tx: Tx, faults: Iterable[tuple[int, AttemptError]]) -> None:
    """Add to the history of tasks, by their keys."""
    for key, fault in faults:
        rows = tx.execute(_SQL["of_task"], (key,))
        earlier = (_read(_ERRORS, rows[0][0]) if rows else None) or ()
        tx.executemany(_SQL["add_errors"], [(key, _text((*earlier, fault)[-MAX_ERRORS:]))])


def write(tx: Tx, key: int, progress: Progress | None, saved: bytes | None) -> None:
    """Keep what a run says of itself, by its task's key; None leaves what there is."""
    tx.executemany(_SQL["note"], [(key, None if progress is None else _text(progress), saved)])


def forget(tx: Tx, keys: Sequence[int]) -> None:
    """Leave nothing of tasks that are gone."""
    if tx.execute(_SQL["any"]):
        tx.executemany(_SQL["forget"], [(key,) for key in keys])


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _read(decoder: msgspec.json.Decoder[T], text: str | bytes | None) -> T | None:
    """Return what is stored, nothing where somebody has written something else there."""
    if text is None:
        return None
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, TypeError):
        return None


def _bytes(saved: object) -> bytes | None:
    # an edit in a shell makes text of bytes
    return saved.encode() if isinstance(saved, str) else saved if isinstance(saved, bytes) else None
