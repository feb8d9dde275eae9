"""Which ticks have passed since an entry was last looked at, however many they are."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from qcore.domain.moments import Moment
from qcore.domain.periodic.entry import Ticks
from qcore.domain.record import record

COUNTED: Final = 100
"""Ticks before those that may be run that are counted one by one."""
HALVINGS: Final = 64
"""Enough to find a moment to the microsecond between any two."""


@record
class Passed:
    """The last of the ticks that have passed, the earliest first, and how many came before."""

    ticks: tuple[Moment, ...]
    before: int = 0
    is_more: bool = False
    """Whether more came before than were counted."""


def passed_ticks(schedule: Ticks, after: Moment, until: Moment, most: int) -> Passed:
    """Return the last `most` ticks that are later than `after`, and `until` or earlier.

    Where more have passed than are counted, as of a schedule by the second after a week, the last
    ones are found by halving the time: there are always at least one, and mostly `most`.
    """
    limit = most + COUNTED
    ticks = tuple(islice(ticks_between(schedule, after, until), limit + 1))
    if len(ticks) <= limit:
        return Passed(ticks[-most:], max(0, len(ticks) - most))
    return Passed(_last(schedule, after, until, most), COUNTED, is_more=True)


def ticks_between(schedule: Ticks, after: Moment, until: Moment) -> Iterator[Moment]:
    """Yield the ticks that are later than `after`, and `until` or earlier."""
    tick = schedule.after(after)
    while tick is not None and tick <= until:
        yield tick
        tick = schedule.after(tick)


def _last(schedule: Ticks, after: Moment, until: Moment, most: int) -> tuple[Moment, ...]:
    """Return up to `most` of the last ticks, by halving: there are more than `most` in all."""
    found: tuple[Moment, ...] = ()
    low, high = after, until
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        ticks = tuple(islice(ticks_between(schedule, middle, until), most + 1))
        if len(ticks) > most:
            low = middle
        else:
            high = middle
            found = ticks if len(ticks) > len(found) else found
        if len(found) == most:
            return found
    # several ticks at the edge that no moment divides cannot be: each has its own instant
    return found or tuple(islice(ticks_between(schedule, low, until), most))
