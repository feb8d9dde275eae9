"""Moments as pages show them: how long ago or ahead, with the exact moment in one zone for all."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.entrypoints.written_times import duration, timestamp

NOW: Final = 1.0
"""Seconds within which something is now."""
MAX_ZONE: Final = 64


@lru_cache(1)
def zone_names() -> tuple[str, ...]:
    """Return the names of all zones, sorted."""
    return tuple(sorted(available_timezones() | {"UTC"}))


def zone_of(name: object) -> ZoneInfo:
    """Return the zone of a name such as "Europe/Berlin"; raise `InvalidOption` for what is none."""
    if not isinstance(name, str) or len(name) > MAX_ZONE or name not in zone_names():
        raise InvalidOption(f"the zone is {shown(name)}: expected a name such as 'Europe/Berlin'")
    return ZoneInfo(name)


@record
class Shown:
    """A moment as a page shows it."""

    relative: str
    """Such as "5 min ago" and "in 2 h 5 min"."""
    exact: str
    """In the zone of the visitor, with its name."""
    machine: str
    """RFC 3339, in UTC."""


def show(moment: Moment, now: Moment, zone: ZoneInfo) -> Shown:
    """Return a moment as a page shows it; one that a store has no calendar for as its number."""
    if not 0 <= moment <= LAST_MOMENT:
        return Shown(f"{moment:g}", f"{moment:g}", timestamp(0.0))
    local = datetime.fromtimestamp(moment, UTC).astimezone(zone)
    name = f"{local:%Z}"
    in_zone = name if name == zone.key else f"{name} ({zone.key})"
    exact = f"{local:%a %d %b %Y %H:%M:%S}.{local.microsecond // 1_000:03} {in_zone}"
    return Shown(_relative(moment - now), exact, timestamp(moment))


def _relative(ahead: float) -> str:
    if abs(ahead) < NOW:
        return "now"
    return f"in {duration(ahead)}" if ahead > 0 else f"{duration(-ahead)} ago"
