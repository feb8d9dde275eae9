"""The names of a queue's keys, all in one slot of a cluster."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from qcore.domain.lifecycle import State


class Key(IntEnum):
    """A queue's keys, numbered as the scripts number them (lua/common.lua)."""

    META = 1
    TASKS = 2
    PENDING = 3
    SESSION = 4
    SCHEDULED = 5
    RETRY = 6
    AGGREGATING = 7
    ACTIVE = 8
    COMPLETED = 9
    ARCHIVED = 10
    DEAD = 11
    PROGRESS = 12
    EXPIRING = 13
    RETAINED = 14
    UNIQUE = 15
    DETAILS = 16
    GROUPS = 17


FAST_PATH_KEYS: Final = 4
"""How many of the first are enough for what is asked for most: see lua/enqueue.lua."""
KEY_OF: Final[Mapping[State, Key]] = {
    state: Key[state.name] for state in State if state is not State.GONE
}
"""The sorted set of each state."""
STATE_OF: Final[Mapping[int, State]] = {int(key): state for state, key in KEY_OF.items()}
COUNTED_STATES: Final = [STATE_OF[number] for number in sorted(STATE_OF)]
"""The states in the order in which count.lua counts them."""


class Keys:
    """The names of a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.registry: Final = f"{namespace}:queues"
        self.of = lru_cache(maxsize=1_000)(self._of)
        self.with_session = lru_cache(maxsize=1_000)(self._with_session)

    def _of(self, queue: str) -> Sequence[str]:
        """Return the names of a queue's keys in their order, with a lane that nobody uses."""
        return [
            self._session(queue, "-") if key is Key.SESSION else self._name(queue, key.name.lower())
            for key in Key
        ]

    def _with_session(self, queue: str, session: str, number: int) -> Sequence[str]:
        """Return the names of the first of a queue's keys in their order."""
        keys = [*self.of(queue)[:number]]
        keys[Key.SESSION - 1] = self._session(queue, session)
        return tuple(keys)

    def _session(self, queue: str, session: str) -> str:
        return self._name(queue, f"session:{session}")

    def _name(self, queue: str, name: str) -> str:
        return f"{self._namespace}:{{{queue}}}:{name}"

    def probe_keys(self) -> list[str]:
        """Return keys in one slot that nobody has: no queue is named so."""
        return [f"{self._namespace}:{{ }}:{name}" for name in ("hash", "sorted", "text", "channel")]

    def channel(self, queue: str) -> str:
        """Return where a queue's wake-ups are published."""
        return self._name(queue, "wake")

    def news(self, queue: str) -> str:
        """Return where it is published which of a queue's tasks have news."""
        return self._name(queue, "news")
