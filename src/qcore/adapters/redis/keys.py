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
    LANE = 4
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


FEW: Final = 4
"""How many of the first are enough for what is asked for most: see lua/enqueue.lua."""
KEY_OF: Final[Mapping[State, Key]] = {
    state: Key[state.name] for state in State if state is not State.GONE
}
"""The sorted set of each state."""
STATE_OF: Final[Mapping[int, State]] = {int(key): state for state, key in KEY_OF.items()}
STORED: Final = [STATE_OF[number] for number in sorted(STATE_OF)]
"""The states in the order in which count.lua counts them."""


class Keys:
    """The names of a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.registry: Final = f"{namespace}:queues"
        self.of = lru_cache(maxsize=1_000)(self._of)
        self.with_lane = lru_cache(maxsize=1_000)(self._with_lane)

    def _of(self, queue: str) -> Sequence[str]:
        """Return the names of a queue's keys in their order, with a lane that nobody uses."""
        return [
            self._lane(queue, "-") if key is Key.LANE else self._name(queue, key.name.lower())
            for key in Key
        ]

    def _with_lane(self, queue: str, lane: str, number: int) -> Sequence[str]:
        """Return the names of the first of a queue's keys in their order."""
        keys = [*self.of(queue)[:number]]
        keys[Key.LANE - 1] = self._lane(queue, lane)
        return tuple(keys)

    def _lane(self, queue: str, lane: str) -> str:
        return self._name(queue, f"lane:{lane}")

    def _name(self, queue: str, name: str) -> str:
        return f"{self._namespace}:{{{queue}}}:{name}"

    def nobody(self) -> list[str]:
        """Return keys in one slot that nobody has: no queue is named so."""
        return [f"{self._namespace}:{{ }}:{name}" for name in ("hash", "sorted", "text", "channel")]

    def channel(self, queue: str) -> str:
        """Return where a queue's wake-ups are published."""
        return self._name(queue, "wake")

    def news(self, queue: str) -> str:
        """Return where it is published which of a queue's tasks have news."""
        return self._name(queue, "news")
