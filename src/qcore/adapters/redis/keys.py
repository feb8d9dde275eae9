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
    PROGRESS = 3
    PENDING = 4
    SCHEDULED = 5
    RETRY = 6
    AGGREGATING = 7
    ACTIVE = 8
    COMPLETED = 9
    ARCHIVED = 10
    DEAD = 11
    EXPIRING = 12
    RETAINED = 13


NAMES: Final = [key.name.lower() for key in Key]
KEY_OF: Final[Mapping[State, Key]] = {
    state: Key[state.name] for state in State if state is not State.GONE
}
"""The sorted set of each state."""
STATE_OF: Final[Mapping[int, State]] = {int(key): state for state, key in KEY_OF.items()}
STORED: Final = tuple(State(name) for name in NAMES[Key.PENDING - 1 : Key.DEAD])
"""The states in the order in which count.lua counts them."""


class Keys:
    """The names of a namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.registry: Final = f"{namespace}:queues"
        self.of = lru_cache(maxsize=1_000)(self._of)

    def _of(self, queue: str) -> Sequence[str]:
        """Return the names of a queue's keys in their order, with a lane that nobody uses."""
        return self.with_lane(queue, "-")

    def with_lane(self, queue: str, lane: str) -> list[str]:
        """Return the names of a queue's keys in their order."""
        names = [*NAMES, f"lane:{lane}"]
        return [f"{self._namespace}:{{{queue}}}:{name}" for name in names]

    def channel(self, queue: str) -> str:
        """Return where a queue's wake-ups are published."""
        return f"{self._namespace}:{{{queue}}}:wake"
