"""`Histogram`: how long something took, in fixed buckets, so that any of them can be added up."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from math import ceil, sqrt
from typing import Final, Self, TypeVar

from attrs import field

from qcore.domain.errors import InvalidOption
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.record import record

T = TypeVar("T")

BOUNDS: Final[tuple[float, ...]] = tuple(0.001 * 2.0 ** (n / 2) for n in range(68))
"""The seconds at which a bucket ends and the next begins: from a millisecond to 140 days, two to
each doubling. Fixed, so that histograms of any spans, names and queues can be added up."""
_LAST: Final = len(BOUNDS)


def _seconds_in(bucket: int) -> float:
    """Return the seconds that stand for a bucket: the geometric middle of its bounds."""
    if bucket == 0:
        return BOUNDS[0] / 2
    if bucket == _LAST:
        return BOUNDS[-1]
    return sqrt(BOUNDS[bucket - 1] * BOUNDS[bucket])


def bucketed(seconds: Collection[float]) -> dict[int, int]:
    """Return how many of some numbers of seconds are in each bucket that has any."""
    if not seconds:
        return {}
    first, last = bisect_right(BOUNDS, min(seconds)), bisect_right(BOUNDS, max(seconds))
    if first == last:
        return {first: len(seconds)}
    # sorted: then a batch costs a search for each bucket rather than one for each number
    ordered = sorted(seconds)
    counts: dict[int, int] = {}
    at = 0
    while at < len(ordered):
        bucket = bisect_right(BOUNDS, ordered[at])
        end = len(ordered) if bucket == _LAST else bisect_left(ordered, BOUNDS[bucket], at)
        counts[bucket] = max(end, at + 1) - at
        at = max(end, at + 1)
    return counts


@record
class Histogram:
    """How many numbers of seconds were in each of the buckets between `BOUNDS`."""

    counts: Mapping[int, int] = field(default=FrozenDict(), hash=False)
    """Bucket to number. Bucket n has what is at least `BOUNDS[n - 1]` and less than `BOUNDS[n]`."""

    @classmethod
    def of(cls, seconds: Collection[float]) -> Self:
        """Return the histogram of some numbers of seconds."""
        return cls(bucketed(seconds))

    @property
    def number(self) -> int:
        """Return how many numbers it has."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """Return the seconds that a share of the numbers do not exceed; None if there are none.

        That is the number at the nearest rank, ⌈share · number⌉, from 1. What is returned stands
        for its bucket: it is within 19 % of the number (2^¼ - 1), within half a millisecond where
        that is less than one, and the lower bound of what is more than 140 days. Raises
        `InvalidOption` unless `share` is between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise InvalidOption(f"share is {share!r}: expected a number from 0 to 1, such as 0.95")
        rank = max(1, ceil(share * self.number))
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return _seconds_in(bucket)
        return None

    def __add__(self, other: "Histogram") -> "Histogram":
        """Return the histogram of the numbers of both."""
        total = {**self.counts}
        add(total, other.counts)
        return Histogram(total)


def add(total: dict[T, int], more: Mapping[T, int]) -> None:
    """Add numbers to those of the same keys."""
    for key, number in more.items():
        total[key] = total.get(key, 0) + number
