"""Which leases were given here, so that somebody can be told when another process ends one."""

import json
from collections.abc import Iterable
from threading import Lock
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.task import Lease

_SQL: Final = statements("claim")

REMEMBERED: Final = 20_000


class Given:
    """Leases that were given and not settled, as far as they are remembered."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, int], Lease] = {}
        self._lock = Lock()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._leases)

    def add(self, leases: Iterable[Lease]) -> None:
        """Remember leases; the oldest are forgotten when they are very many."""
        with self._lock:
            self._leases |= {(lease.queue, lease.token): lease for lease in leases}
            while len(self._leases) > REMEMBERED:
                self._leases.pop(next(iter(self._leases)))

    def forget(self, leases: Iterable[Lease]) -> None:
        """Forget leases that were settled, or lost."""
        with self._lock:
            for lease in leases:
                self._leases.pop((lease.queue, lease.token), None)

    def lost(self, tx: Tx) -> list[Lease]:
        """Return, and forget, those that are over."""
        with self._lock:
            given = dict(self._leases)
        # asked for after every change to the file: no more is read than which tokens count
        queues = json.dumps([*{queue for queue, _ in given}])
        for name, token in tx.execute(_SQL["held"], (queues,)):
            given.pop((name, token), None)
        over = [*given.values()]
        self.forget(over)
        return over
