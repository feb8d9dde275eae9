"""`announce`, `withdraw` and `workers`: the workers that announce themselves, a row each."""

from typing import Final

import msgspec

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.statements import statements
from qcore.domain.moments import Moment
from qcore.domain.workers import WorkerInfo, in_order

_SQL: Final = statements("workers")
_decode: Final = msgspec.json.Decoder(WorkerInfo).decode


async def announce(tx: Tx, info: WorkerInfo) -> None:
    """List a worker, and remove those that have expired."""
    tx.add(_SQL["delete_expired"], {"now": info.seen, "id": info.id})
    encoded = msgspec.json.encode(info).decode()
    tx.add(_SQL["write"], {"id": info.id, "expires": info.expires, "info": encoded})


async def withdraw(tx: Tx, worker: str) -> None:
    """Remove a worker."""
    tx.add(_SQL["delete"], {"id": worker})


async def workers(tx: Tx, now: Moment) -> list[WorkerInfo]:
    """Return the workers that have not expired; what cannot be read, as if it were not there."""
    found = (_read(info) for (info,) in await tx.fetch(_SQL["read"], {"now": now}))
    return in_order([info for info in found if info is not None])


def _read(stored: str) -> WorkerInfo | None:
    try:
        return _decode(stored)
    except (msgspec.DecodeError, RecursionError, ValueError):
        # somebody's edit, or of a newer qcore that has left out what this one needs
        return None
