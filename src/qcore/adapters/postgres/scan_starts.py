"""Where claims begin to read the index of pending tasks.

The index entry of a task that was claimed stays where it was until a vacuum removes it, and until
every transaction has ended that is older than the claim. Whoever reads the index from its first
entry passes over all of those: after a minute of a busy queue hundreds of thousands, for each
claim. So a claim begins behind the last task of each priority that was claimed before it.

What is pending further ahead is passed over then: a task that another worker has given back, or one
whose transaction took longer to commit than those that came after it. Therefore the whole index is
read from time to time, when a claim finds less than it asks for, and after this broker itself has
put a task back.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

from qcore.adapters.links.postgres import Values
from qcore.adapters.links.postgres.arrays import numbers, texts
from qcore.domain.record import record

BUSY: Final = 1_000
"""Tasks that are claimed from a queue before its claims begin elsewhere than at the first entry."""
WHOLE_EVERY: Final = 0.25
"""Seconds after which the whole index is read again."""
WHOLE_SHARE: Final = 20
"""So many times as long as a claim took that read the whole index pass before the next one."""
ABOVE_ALL: Final = 32_768
"""Greater than every priority, as their column is a `smallint`."""
BELOW_ALL: Final = -32_769


@record
class Scan:
    """What a claim reads of the index of a queue's pending tasks: ranges, in their order.

    Each is what lies between two priorities, and then what lies behind a task of the second.
    """

    queue: str
    asked: float
    """When the claim was asked for."""
    above: Sequence[int] = (ABOVE_ALL,)
    priorities: Sequence[int] = (BELOW_ALL,)
    behind: Sequence[int] = (0,)
    """The `sequence` of a task of each of the priorities."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the index is read."""
        return len(self.above) == 1


class ScanStarts:
    """The last task of each priority that was claimed from a queue.

    Thread-safe: what one thread forgets while another notes it is a hint, and none for long.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._queues: dict[str, _Start] = {}

    def begin(self, queue: str) -> Scan:
        """Return what a claim is to read."""
        now = self._monotonic()
        start = self._queues.get(queue)
        if start is None or start.claimed < BUSY or now >= start.whole_at:
            return Scan(queue, now)
        last = sorted(start.last.items(), reverse=True)
        priorities = [priority for priority, _ in last]
        return Scan(
            queue,
            now,
            [ABOVE_ALL, *priorities],
            [*priorities, BELOW_ALL],
            [*(sequence for _, sequence in last), 0],
        )

    def end(self, scan: Scan, found: Sequence[tuple[int, int]], *, is_filled: bool) -> None:
        """Note the priority and `sequence` of each task that a claim has found, in their order.

        `is_filled` says whether there were as many as it asked for.
        """
        if not (is_filled or scan.is_whole):
            self.forget([scan.queue])
            return
        start = self._queues.setdefault(scan.queue, _Start())
        if scan.is_whole:
            now = self._monotonic()
            start.whole_at = now + max(WHOLE_EVERY, WHOLE_SHARE * (now - scan.asked))
        start.claimed += len(found)
        for priority, sequence in dict(found).items():
            start.last[priority] = max(sequence, start.last.get(priority, 0))

    def forget(self, queues: Iterable[str]) -> None:
        """Have the next claims of these queues read the whole index: something may lie ahead."""
        for queue in queues:
            self._queues.pop(queue, None)


class _Start:
    __slots__ = ("claimed", "last", "whole_at")

    def __init__(self) -> None:
        self.claimed = 0
        self.last: dict[int, int] = {}
        self.whole_at = 0.0


def ranges_of(scans: Sequence[Scan]) -> Values:
    """Return the ranges of queues as the values of a claim's statement."""
    return {
        "ranges_of": texts([scan.queue for scan in scans for _ in scan.above]),
        "above": numbers(chain.from_iterable(scan.above for scan in scans)),
        "priorities": numbers(chain.from_iterable(scan.priorities for scan in scans)),
        "behind": numbers(chain.from_iterable(scan.behind for scan in scans)),
    }
