"""Which leases were given here, so that somebody can be told when another process ends one."""

import json
from collections.abc import Iterable
from threading import Lock
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.task import Lease

_SQL: Final = statements("operate")

REMEMBERED: Final = 20_000


class Given:
    """Leases that were given and not settled, as far as they are remembered."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, int], str] = {}
        self._lock = Lock()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._ids)

    def add(self, leases: Iterable[Lease]) -> None:
        """Remember leases; the oldest are forgotten when they are very many."""
        with self._lock:
            for lease in leases:
                if len(self._ids) >= REMEMBERED:
                    self._ids.pop(next(iter(self._ids)))
                self._ids[lease.queue, lease.token] = lease.id

    def forget(self, leases: Iterable[Lease]) -> None:
        """Forget leases that were settled."""
        with self._lock:
            for lease in leases:
                self._ids.pop((lease.queue, lease.token), None)

    def lost(self, tx: Tx) -> list[tuple[str, int]]:
        """Return, and forget, those that are over."""
        with self._lock:
            given = dict(self._ids)
        queues = {queue for queue, _ in given}
        over: list[tuple[str, int]] = []
        for queue in queues:
            mine = {token: task for (its, token), task in given.items() if its == queue}
            rows = tx.execute(_SQL["tokens"], (json.dumps([*mine.values()]), queue))
            held = {token for (token,) in rows}
            over += [(queue, token) for token in mine if token not in held]
        with self._lock:
            for each in over:
                self._ids.pop(each, None)
        return over
