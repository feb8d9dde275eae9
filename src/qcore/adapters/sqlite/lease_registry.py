"""The leases that this broker has given and not yet seen end.

SQLite has no way to tell one process that another has revoked a lease. So after every change to
the file that another connection made, the tokens registered here are compared with those that are
stored; whichever is no longer stored is over.
"""

import json
from collections.abc import Iterable
from threading import Lock
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.statements import statements
from qcore.domain.task import Lease

_SQL: Final = statements("claim")

MAX_LEASES: Final = 20_000
"""Leases remembered: the oldest is forgotten first, and its end is then noticed by `extend`."""


class LeaseRegistry:
    """Leases that were given and not settled, by queue and token; may be used from any thread."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, int], Lease] = {}
        self._lock = Lock()

    def __bool__(self) -> bool:
        """Return whether any lease is registered."""
        return bool(self._leases)

    def add(self, leases: Iterable[Lease]) -> None:
        """Register leases; drop the oldest beyond `MAX_LEASES`."""
        with self._lock:
            self._leases |= {(lease.queue, lease.token): lease for lease in leases}
            while len(self._leases) > MAX_LEASES:
                self._leases.pop(next(iter(self._leases)))

    def remove(self, leases: Iterable[Lease]) -> None:
        """Drop leases that were settled, or lost."""
        with self._lock:
            for lease in leases:
                self._leases.pop((lease.queue, lease.token), None)

    def pop_ended(self, tx: Tx) -> list[Lease]:
        """Drop and return the leases whose token is no longer stored."""
        with self._lock:
            registered = dict(self._leases)
        # runs after every change to the file, so it reads tokens from an index and no tasks
        queues = json.dumps([*{queue for queue, _ in registered}])
        for name, token in tx.execute(_SQL["active_tokens"], (queues,)):
            registered.pop((name, token), None)
        ended = [*registered.values()]
        self.remove(ended)
        return ended
