"""Schedules as text: what a person writes, and what `spelled` has stored."""

import re
from typing import TYPE_CHECKING, Final

from qcore.domain.errors import InvalidOption
from qcore.domain.schedules.every import Every, every_from
from qcore.domain.text import shown

if TYPE_CHECKING:
    from qcore.domain.schedules.cron import Cron

_CRON: Final = re.compile(
    r"(?:(?:CRON_)?TZ=(\S*)\s+)?(CRON_SECONDS=1\s+)?(.*)", re.ASCII | re.DOTALL
)


def schedule_from(text: str, tz: str = "UTC", *, warn: bool = False) -> "Cron | Every":
    """Return the schedule of a text; raise `InvalidOption` for one that this version cannot read.

    "@every 1h30m" is elapsed time. All else is a cron expression, in the zone `tz` unless it begins
    with one, as in "CRON_TZ=Europe/Berlin 0 9 * * 1-5"; after that, "CRON_SECONDS=1" says that the
    first of six fields is of seconds. An expression of which `Cron` warns is read without a warning
    unless `warn` is true, as somebody was warned when it was declared.
    """
    if not isinstance(text, str):
        raise InvalidOption(f"the schedule is {shown(text)}: expected a str")
    if text.split()[:1] == ["@every"]:
        return every_from(text)
    # late, with its zones and calendars: most programs have no such schedule
    from qcore.domain.schedules.cron import Cron

    zone, seconds, expression = _CRON.findall(text.strip())[0]
    return Cron(expression, zone or tz, seconds=bool(seconds), warn=warn)
