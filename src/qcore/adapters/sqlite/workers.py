"""`announce`, `withdraw` and `workers`: the workers that announce themselves, a row each."""

from typing import Final

import msgspec

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.workers import WorkerInfo, in_order

_SQL: Final = statements("workers")
_decode: Final = msgspec.json.Decoder(WorkerInfo).decode


def announce(tx: Tx, info: WorkerInfo) -> None:
    """List a worker, and remove those that have expired."""
    tx.execute(_SQL["delete_expired"], (info.seen,))
    tx.execute(_SQL["write"], (info.id, info.expires, msgspec.json.encode(info).decode()))


def withdraw(tx: Tx, worker: str) -> None:
    """Remove a worker."""
    tx.execute(_SQL["delete"], (worker,))


def workers(tx: Tx, now: Moment) -> list[WorkerInfo]:
    """Return the workers that have not expired; what cannot be read, as if it were not there."""
    found = (_read(info) for (info,) in tx.execute(_SQL["read"], (now,)))
    return in_order([info for info in found if info is not None])


def _read(stored: object) -> WorkerInfo | None:
    try:
        return _decode(stored) if isinstance(stored, str | bytes) else None
    except (msgspec.DecodeError, RecursionError, ValueError):
        # somebody's edit, or of a newer qcore that has left out what this one needs
        return None
