"""What ends in a transaction, by queue, to be counted at its end."""

from collections import defaultdict
from typing import Final

from qcore.domain.moments import Moment
from qcore.domain.statistics import Ending


class Endings:
    """The endings of one transaction."""

    def __init__(self) -> None:
        self.by_queue: Final[defaultdict[str, list[Ending]]] = defaultdict(list)
        self.moved_at: Moment = 0.0

    def add(self, queue: str, ending: Ending, now: Moment) -> None:
        """Note that a task has moved; not all moves end a run or a task."""
        self.by_queue[queue].append(ending)
        self.moved_at = now
