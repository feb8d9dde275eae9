"""Where claims begin to read the index of pending tasks.

The index entry of a task that was claimed stays where it was until a vacuum removes it, and until
every transaction has ended that is older than the claim. Whoever reads the index from its first
entry passes over all of those: after a minute of a busy queue hundreds of thousands, for each
claim. So a claim begins behind the last task of each priority that was claimed before it.

What is pending further ahead is passed over then: a task that another worker has given back, or one
whose transaction took longer to commit than those that came after it. Therefore a priority is read
from its first entry from time to time, and claims go on behind what was found there; and so is the
whole index when a claim finds less than it asks for, and after this broker itself has put a task
back: what claims answer that were asked for before that is not noted.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Final

from attrs import Factory

from qcore.adapters.links.postgres import Values
from qcore.adapters.links.postgres.arrays import numbers
from qcore.domain.record import record

BUSY: Final = 1_000
"""Tasks that are claimed from a queue before its claims begin elsewhere than at the first entry."""
WHOLE_EVERY: Final = 0.25
"""Seconds after which a priority is read from its first entry again."""
WHOLE_SHARE: Final = 20
"""So many times as long as a claim took that did so pass before the next one."""
WHOLE_AT_LATEST: Final = 5.0
"""Seconds after which it is read so in any case, however long that takes."""
MAX_PRIORITIES: Final = 16
"""Priorities of a queue that are remembered: each costs a claim two more searches in the index."""
ABOVE_ALL: Final = 32_768
"""Greater than every priority, as their column is a `smallint`."""
BELOW_ALL: Final = -32_769


class Start:
    """Behind which task of a priority claims begin, and until when they do.

    All claims that have begun behind it move it on together. Once another one has taken its place,
    the answers to those that are still on their way change nothing any more.
    """

    __slots__ = ("sequence", "until")

    def __init__(self, sequence: int, until: float) -> None:
        self.sequence = sequence
        self.until = until


class Queue:
    """What is known of a queue, until a task is put back into it or nothing is left."""

    __slots__ = ("claimed", "starts", "took")

    def __init__(self, claimed: int = 0) -> None:
        self.claimed = claimed
        self.starts: dict[int, Start] = {}
        self.took = WHOLE_AT_LATEST
        """Seconds that the last claim took which read a priority from its first entry."""

    def begin_at(self, last: Mapping[int, int], now: float, asked: float) -> None:
        """Begin behind the last tasks of priorities that were read from their first entry."""
        took = now - asked
        # of two, as a server may stand still for once
        pause = WHOLE_SHARE * min(took, self.took)
        self.took = took
        until = now + min(max(WHOLE_EVERY, pause), WHOLE_AT_LATEST)
        for priority, sequence in last.items():
            self.starts.pop(priority, None)
            self.starts[priority] = Start(sequence, until)
        for oldest in [*self.starts][:-MAX_PRIORITIES]:
            self.starts.pop(oldest, None)


@record
class Scan:
    """What a claim reads of the index of a queue's pending tasks: ranges, in their order.

    Each is what lies between two priorities, and then what lies behind a task of the second.
    """

    queue: str
    known: Queue
    asked: float
    """When the claim was asked for."""
    starts: Mapping[int, Start] = Factory(dict[int, Start])
    """By priority, the highest first."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the index is read."""
        return not self.starts

    @property
    def above(self) -> Sequence[int]:
        """Return below which priority each range begins."""
        return [ABOVE_ALL, *self.starts]

    @property
    def priorities(self) -> Sequence[int]:
        """Return the priority at which each range ends."""
        return [*self.starts, BELOW_ALL]

    @property
    def behind(self) -> Sequence[int | None]:
        """Return the `sequence` of a task of each of these priorities.

        None for the last, which no task has: then Postgres does not search the index.
        """
        return [*(start.sequence for start in self.starts.values()), None]


class ScanStarts:
    """The last task of each priority that was claimed from a queue.

    Thread-safe: what one thread forgets while another notes it is a hint, and none for long.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._queues: dict[str, Queue] = {}

    def begin(self, queue: str) -> Scan:
        """Return what a claim is to read."""
        now = self._monotonic()
        known = self._queues.setdefault(queue, Queue())
        if known.claimed < BUSY:
            return Scan(queue, known, now)
        # a copy, as another thread may add to it
        starts = sorted(known.starts.copy().items(), reverse=True)
        return Scan(queue, known, now, {each: start for each, start in starts if start.until > now})

    def end(self, scan: Scan, found: Sequence[tuple[int, int]], *, is_all: bool) -> None:
        """Note the priority and `sequence` of each task that a claim has found, in their order.

        `is_all` says that there was no other one in what it has read.
        """
        known = scan.known
        if self._queues.get(scan.queue) is not known:
            return
        if is_all and not scan.is_whole:
            self.forget([scan.queue])
            return
        known.claimed += len(found)
        last = dict(found)
        reached = BELOW_ALL if is_all else min(last, default=ABOVE_ALL)
        for priority in last.keys() & scan.starts.keys():
            start = scan.starts[priority]
            start.sequence = max(start.sequence, last.pop(priority))
        # those above that were read from their first entries, and of which nothing is pending
        nothing = {
            priority: start.sequence
            for priority, start in known.starts.copy().items()
            if priority > reached and priority not in scan.starts
        }
        if begun := nothing | last:
            known.begin_at(begun, self._monotonic(), scan.asked)

    def put_back(self, queues: Iterable[str]) -> None:
        """Have the next claim of these queues read the whole index: something may lie ahead."""
        for queue in queues:
            if (known := self._queues.get(queue)) is not None:
                self._queues[queue] = Queue(known.claimed)

    def forget(self, queues: Iterable[str]) -> None:
        """Take these queues for quiet ones."""
        for queue in queues:
            self._queues.pop(queue, None)


def ranges_of(scans: Sequence[Scan]) -> Values:
    """Return the ranges of queues as the values of a claim's statement."""
    return {
        "above": numbers(chain.from_iterable(scan.above for scan in scans)),
        "priorities": numbers(chain.from_iterable(scan.priorities for scan in scans)),
        "behind": numbers(chain.from_iterable(scan.behind for scan in scans)),
    }


def ends_of(scans: Sequence[Scan]) -> str:
    """Return how many ranges there are up to the last one of each queue."""
    return numbers(accumulate(len(scan.above) for scan in scans))
