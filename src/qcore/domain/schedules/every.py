"""Elapsed time: ticks at equal distances from a fixed instant, whatever clocks on walls show."""

import re
from datetime import UTC, datetime
from typing import Final

from attrs import field

from qcore.domain.errors import InvalidOption
from qcore.domain.moments import LAST_MOMENT, Duration, Moment, moment_of, seconds_of
from qcore.domain.record import record
from qcore.domain.text import shown

MICRO: Final = 1_000_000
SHORTEST: Final = 0.001
"""Seconds: a due moment is honoured to the millisecond."""

UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
WORDS: Final = {"day": 86_400, "hour": 3_600, "minute": 60}
_PART: Final = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(sorted(UNITS, key=len, reverse=True))})")
_TEXT: Final = re.compile(rf"@every\s+((?:{_PART.pattern})+)(?:\s+from\s+(\S+))?", re.ASCII)


def _interval(value: Duration) -> float:
    seconds = seconds_of(value, "interval", InvalidOption)
    if seconds < SHORTEST:
        raise InvalidOption(f"interval is {shown(value)}: expected {SHORTEST} seconds or more")
    return round(seconds, 6)


def _anchor(value: datetime | Moment) -> Moment:
    return round(moment_of(value, "anchor", InvalidOption), 6)


@record
class Every:
    """A tick at `anchor`, and at each whole multiple of `interval` before and after it.

    `interval` is seconds or a timedelta, a millisecond at least; `anchor` is an aware datetime or
    epoch seconds, and the epoch itself by default, so that all schedulers count alike. Both are
    kept as seconds, to the microsecond. Raises `InvalidOption` for any other value.
    """

    interval: float = field(converter=_interval)
    anchor: Moment = field(default=0.0, converter=_anchor)

    def after(self, moment: Moment) -> Moment | None:
        """Return the first tick that is later than `moment`; None past the year 9999."""
        if not moment < LAST_MOMENT:
            return None
        step, anchor = round(self.interval * MICRO), round(self.anchor * MICRO)
        # one step early, as the product is rounded; whole microseconds divide to the same float
        # whichever tick they are counted from
        micros = anchor + (int(moment * MICRO) - anchor) // step * step
        while micros / MICRO <= moment:
            micros += step
        return micros / MICRO if micros / MICRO <= LAST_MOMENT else None

    def describe(self) -> str:
        """Return the schedule in words, such as "every 1 hour 30 minutes"."""
        in_phase = round(self.anchor * MICRO) % round(self.interval * MICRO) == 0
        since = datetime.fromtimestamp(self.anchor, UTC).replace(tzinfo=None)
        return f"every {_words(self.interval)}" + (
            "" if in_phase else f", counted from {since} UTC"
        )

    def spelled(self) -> str:
        """Return the form in which the schedule is stored, such as "@every 90m"."""
        text = f"@every {_spelled(self.interval)}"
        return f"{text} from {_utc(self.anchor).isoformat()}Z" if self.anchor else text


def every_from(text: str) -> Every:
    """Return the schedule of a text such as "@every 1h30m" or "@every 1d from 2026-01-01T06:00Z".

    The units are d, h, m, s and ms. Raises `InvalidOption` for any other text.
    """
    said = _TEXT.fullmatch(text.strip())
    if said is None:
        raise InvalidOption(
            f"the schedule is {shown(text)}: expected @every and a time of the units d, h, m, s "
            'and ms, such as "@every 1h30m"'
        )
    interval = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(said[1]))
    return Every(interval, _instant(said[4]) if said[4] else 0.0)


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidOption(
            f"the schedule counts from {shown(text)}: expected a date and a time such as "
            "2026-01-01T06:00Z"
        ) from None


def _utc(moment: Moment) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)


def _spelled(seconds: float) -> str:
    """Return seconds in the largest unit of which they are a whole number."""
    for unit in "dhms":
        if seconds % UNITS[unit] == 0:
            return f"{int(seconds // UNITS[unit])}{unit}"
    return f"{seconds:.6f}".rstrip("0") + "s"


def _words(seconds: float) -> str:
    """Return seconds as "30 seconds" or "1 hour 30 minutes", and one of a unit as "hour"."""
    left, parts = seconds, list[str]()
    for word, unit in WORDS.items():
        count, left = divmod(left, unit)
        parts += [_counted(int(count), word)] if count else []
    if left or not parts:
        parts.append(_counted(round(left, 6), "second"))
    return parts[0].removeprefix("1 ") if len(parts) == 1 else " ".join(parts)


def _counted(count: float, word: str) -> str:
    return f"{count:g} {word}" if count == 1 else f"{count:.12g} {word}s"
