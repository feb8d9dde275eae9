"""When an expression ticks in a zone: local times that match it, made into instants.

There are two kinds of expressions, and a rule for each. An hourly one, in which every hour is
allowed, is of elapsed time: it ticks at each instant whose local time matches. Where clocks are put
forward it misses nothing that anybody has seen, and where they are put back it goes on through both
passes of the repeated hour.

Any other is of clock time: it ticks once for each local time that matches, at the first instant at
which the zone's clocks show that time or are past it. So what falls into a gap ticks at the end of
the gap, all of it at once, however long the gap is; and of a repeated hour the first pass counts.
"""

from copy import copy
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.schedules.expressions import Expression, read_expression
from qcore.domain.schedules.zones import Zone
from qcore.domain.text import shown

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (a local time)
DAY: Final = 86_400
"""Seconds, more than any clock is put back by."""


class Calendar:
    """The local times that match an expression, found by croniter.

    It is given naive datetimes alone, among which it counts as a calendar does. What it makes of a
    zone is not asked for: 7.0.0 runs a daily job twice in a repeated hour.
    """

    def __init__(self, expression: Expression) -> None:
        # late, as it takes 40 ms, and a program that only knows of schedules needs none
        from croniter import croniter

        self.expression = expression
        self._croniter: croniter[datetime] = croniter(
            expression.plain(), EPOCH, datetime, day_or=expression.is_either_day
        )

    def next(self, local: datetime) -> datetime | None:
        """Return the first matching time after another; None within 50 years, and past 9999."""
        # a copy, as croniter keeps its place, and several threads may ask one schedule
        try:
            return copy(self._croniter).get_next(datetime, start_time=local)
        except (OverflowError, ValueError):
            return None


@lru_cache(maxsize=4_096)
def calendar_of(text: str, *, seconds: bool) -> Calendar:
    """Return an expression's local times; raise `InvalidOption` if it cannot be read, or has none.

    It is kept, so that an entry that is read again and again from a store costs nothing.
    """
    calendar = Calendar(read_expression(text, seconds=seconds))
    if calendar.next(EPOCH) is None:
        raise InvalidOption(
            f"the expression is {shown(text)}, which never ticks: expected a day that one of its "
            "months has"
        )
    return calendar


def next_tick(calendar: Calendar, zone: Zone, instant: int) -> int | None:
    """Return the first tick later than an instant, None if none follows."""
    find = _next_hourly if calendar.expression.is_hourly else _next_clock_time
    return find(calendar, zone, instant)


def _next_clock_time(calendar: Calendar, zone: Zone, instant: int) -> int | None:
    local = calendar.next(zone.latest(instant))
    return None if local is None else zone.reached(local)


def _next_hourly(calendar: Calendar, zone: Zone, instant: int) -> int | None:
    """Return the first instant that shows a match, going on anew where the offset changes.

    Changes are looked for in the day that follows and in the day before a match. Any in between
    shows times between the two, none of which matches.
    """
    offset = zone.offset(instant)
    while local := calendar.next(EPOCH + timedelta(seconds=instant) + offset):
        match = (local - offset - EPOCH) // timedelta(seconds=1)
        near = min(match, instant + DAY)
        if zone.offset(near) != offset:
            # as if the new offset had begun a second early: what follows is later than `instant`
            change = zone.change(instant, near)
            instant, offset = change - 1, zone.offset(change)
        elif near == match:
            return match
        else:
            # a second early, as a day that is missed out may end where the match is
            instant = max(near, zone.reached(local - timedelta(seconds=DAY)) - 1)
            offset = zone.offset(instant)
    return None
