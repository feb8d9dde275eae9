"""An oracle: expressions with what they stand for, and a walk through UTC minute by minute.

It shares nothing with the code: fields are sets that made their text, days are matched one by one,
and a gap or a repeated hour is what the walk sees of the local time from one minute to the next.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from qcore.domain.record import record

MINUTE = timedelta(minutes=1)

ZONES = [
    "Europe/Berlin",
    "Europe/Dublin",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
    "UTC",
]


@record
class Written:
    """A field as text, and what it stands for."""

    text: str
    values: frozenset[int]


@record
class Known:
    """An expression whose fields are known."""

    minute: Written
    hour: Written
    day: Written
    month: Written
    weekday: Written

    @property
    def text(self) -> str:
        """Return the expression."""
        parts = self.minute, self.hour, self.day, self.month, self.weekday
        return " ".join(part.text for part in parts)

    def matches(self, local: datetime) -> bool:
        """Return whether it has a local time."""
        return (
            local.minute in self.minute.values
            and local.hour in self.hour.values
            and local.month in self.month.values
            and self._has_day(local)
        )

    def _has_day(self, local: datetime) -> bool:
        day = local.day in self.day.values
        weekday = local.isoweekday() % 7 in self.weekday.values
        if self.day.text.startswith("*") or self.weekday.text.startswith("*"):
            return day and weekday
        return day or weekday


def listed(values: Collection[int]) -> Written:
    """Return a field that lists its values."""
    return Written(",".join(map(str, values)), frozenset(values))


def fields(low: int, high: int) -> st.SearchStrategy[Written]:
    """Return fields of a span, in each form that one may have."""
    size, numbers, steps = high - low + 1, st.integers(low, high), st.integers(1, high - low + 1)

    def ranged(first: int, last: int, step: int) -> Written:
        end = last if last >= first else last + size
        values = {(value - low) % size + low for value in range(first, end + 1, step)}
        return Written(f"{first}-{last}" + f"/{step}" * (step > 1), frozenset(values))

    def stepped(step: int) -> Written:
        return Written(f"*/{step}", frozenset(range(low, high + 1, step)))

    every = Written("*", frozenset(range(low, high + 1)))
    return st.one_of(
        st.just(every),
        st.sets(numbers, min_size=1, max_size=4).map(listed),
        st.builds(ranged, numbers, numbers, st.integers(1, 3)),
        steps.map(stepped),
    )


ANY_MONTH = Written("*", frozenset(range(1, 13)))
NIGHT = st.sets(st.sampled_from([23, 0, 1, 2, 3, 4]), min_size=1)
EXPRESSIONS = st.builds(
    Known,
    fields(0, 59),
    st.one_of(fields(0, 23), NIGHT.map(listed)),
    st.one_of(st.just(Written("*", frozenset(range(1, 32)))), fields(1, 31)),
    st.just(ANY_MONTH),
    st.one_of(st.just(Written("*", frozenset(range(7)))), fields(0, 6)),
)


@cache
def changes(zone: str) -> list[int]:
    """Return the instants at which a zone's offset changes, any one if there are none."""
    rules = ZoneInfo(zone)

    def offset(instant: int) -> timedelta | None:
        return datetime.fromtimestamp(instant, rules).utcoffset()

    def first_new(first: int, last: int) -> int:
        return first + bisect_left(
            range(first, last), 1, key=lambda at: offset(at) != offset(first)
        )

    weeks = range(0, 2_200_000_000, 7 * 86_400)
    found = [first_new(*pair) for pair in pairwise(weeks) if len({*map(offset, pair)}) > 1]
    return found or [1_800_000_000]


def walk(expression: Known, zone: str, start: int, until: int) -> Iterator[int]:
    """Yield the ticks after a minute, by the rule as it is written: minute by minute, in UTC."""
    rules, is_hourly = ZoneInfo(zone), len(expression.hour.values) == 24
    # what clocks have shown in the hours before counts as seen: none is put back by more
    at = start - 6 * 3_600
    seen, before = set[datetime](), local_time(at - 60, rules)
    while at <= until:
        local = local_time(at, rules)
        new = (
            [local] if is_hourly else [each for each in _passed(before, local) if each not in seen]
        )
        if at > start and any(map(expression.matches, new)):
            yield at
        seen.update(new)
        at, before = at + 60, local


def _passed(before: datetime, local: datetime) -> list[datetime]:
    """Return the minutes after one up to another: several where clocks are put forward."""
    count = (local - before) // MINUTE
    return [local - number * MINUTE for number in range(count)] or [local]


def local_time(at: int, rules: ZoneInfo) -> datetime:
    """Return what clocks show."""
    return datetime.fromtimestamp(at, UTC).astimezone(rules).replace(tzinfo=None, fold=0)
