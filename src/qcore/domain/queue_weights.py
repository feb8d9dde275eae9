"""Divide the room of a worker between its queues, by weight or strictly in order."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from qcore.domain.errors import InvalidOption
from qcore.domain.task import Demand


class QueueWeights(Protocol):
    """Divides room between queues."""

    @property
    def queues(self) -> Sequence[str]:
        """Return the queues served, in the order in which room that is left goes to them."""
        ...

    @property
    def weights(self) -> Mapping[str, int]:
        """Return the weight of each queue, in that order."""
        ...

    def split(self, room: int) -> Demand:
        """Return the demand for `room` tasks."""
        ...


class Strict:
    """Serve a queue only when those before it are empty."""

    def __init__(self, queues: Sequence[str]) -> None:
        if not queues:
            raise InvalidOption("a worker needs at least one queue")
        self.queues = tuple(queues)
        self.weights: Mapping[str, int] = dict.fromkeys(self.queues, 1)
        # without quotas a broker fills all room in the order of the queues: that is strict
        self._none = dict.fromkeys(self.queues, 0)

    def split(self, room: int) -> Demand:
        """Return the demand for `room` tasks."""
        return Demand(room, self._none)


class Weighted:
    """Serve queues in proportion to their weights, exactly, and starve none.

    Smooth weighted round robin (nginx, Igor Sysoev, 2012): each turn every queue earns its weight,
    the richest is served and pays the sum. What is not whole carries over, so that shares are
    exact over any run of turns, for a room of one as for a room of a hundred. A queue with nothing
    to do pays for its turns all the same, so that it cannot save up and then starve the others.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        if not weights:
            raise InvalidOption("a worker needs at least one queue")
        for queue, weight in weights.items():
            if type(weight) is not int or weight < 1:
                raise InvalidOption(
                    f"the weight of queue {queue!r} is {weight!r}: expected a whole number from 1"
                )
        self.weights: Mapping[str, int] = dict(sorted(weights.items(), key=lambda pair: -pair[1]))
        self._sum = sum(weights.values())
        self._credit = dict.fromkeys(self.weights, 0)
        self.queues = tuple(self.weights)

    def split(self, room: int) -> Demand:
        """Return the demand for `room` tasks."""
        if len(self.queues) == 1:
            return Demand(room, {self.queues[0]: room})
        rounds, turns = divmod(room, self._sum)
        quotas = {queue: rounds * weight for queue, weight in self.weights.items()}
        for _ in range(turns):
            quotas[self._turn()] += 1
        return Demand(room, quotas)

    def _turn(self) -> str:
        """Return the queue whose turn it is."""
        for queue, weight in self.weights.items():
            self._credit[queue] += weight
        richest = max(self._credit, key=self._credit.__getitem__)
        self._credit[richest] -= self._sum
        return richest
