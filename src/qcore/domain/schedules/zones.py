"""Time zones: from instants to local times, and back.

Instants are whole seconds since the epoch, local times are naive datetimes. Two aware datetimes of
one zone are compared and subtracted by what their clocks show, which is wrong wherever the offset
changes between them.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.text import shown

NOT_PORTABLE: Final = ("localtime", "posixrules", "Factory", "posix/", "right/")
"""Files beside the zones: what they say, or whether they are there, depends on the machine."""


@record
class Zone:
    """A time zone."""

    rules: tzinfo

    def local(self, instant: int) -> datetime:
        """Return what the zone's clocks show; `fold` is 1 where they show it for a second time."""
        return datetime.fromtimestamp(instant, self.rules).replace(tzinfo=None)

    def offset(self, instant: int) -> timedelta:
        """Return by how much the zone's clocks are ahead of UTC."""
        return datetime.fromtimestamp(instant, self.rules).utcoffset() or timedelta(0)

    def reached(self, local: datetime) -> int:
        """Return the first instant at which the zone's clocks show a local time, or are past it."""
        instant = self._instant(local, fold=0)
        if self.local(instant) == local:
            return instant
        # in a gap: by PEP 495 the other fold is as far before the change as this one is after it
        return self.change(self._instant(local, fold=1), instant)

    def latest(self, instant: int) -> datetime:
        """Return the latest local time, in whole seconds, that was shown up to an instant."""
        local = self.local(instant)
        if not local.fold:
            return local
        first = self._instant(local, fold=0)
        return local + timedelta(seconds=self.change(first, instant) - 1 - first)

    def change(self, early: int, late: int) -> int:
        """Return the first instant, up to `late`, whose offset is not that of `early`.

        There must be one change between the two.
        """
        before, instants = self.offset(early), range(early + 1, late + 1)
        # of False and True in a row, the first True
        return instants[bisect_left(instants, 1, key=lambda each: self.offset(each) != before)]

    def _instant(self, local: datetime, *, fold: int) -> int:
        return int(local.replace(tzinfo=self.rules, fold=fold).timestamp())


@cache
def zone_named(name: str) -> Zone:
    """Return the time zone of a name; raise `InvalidOption` for one that is not known here.

    The data are the system's, else those of the package tzdata. UTC needs none.
    """
    if name == "UTC":
        return Zone(UTC)
    if not name or name.startswith(NOT_PORTABLE):
        raise InvalidOption(_unknown(name))
    try:
        return Zone(ZoneInfo(name))
    except (LookupError, ValueError, OSError):
        # an absolute path and a folder of zones are no lookup errors
        raise InvalidOption(_unknown(name)) from None


def _unknown(name: str) -> str:
    known = [each for each in available_timezones() if not each.startswith(NOT_PORTABLE)]
    close = get_close_matches(name[:100], known, n=1, cutoff=0.8)
    example = f"; did you mean {close[0]!r}?" if close else ", such as 'Europe/Berlin'"
    return f"tz is {shown(name)}: expected a name of the IANA time zone database{example}"
