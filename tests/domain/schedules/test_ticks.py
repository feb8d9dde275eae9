"""When a cron expression ticks, held to a walk minute by minute and to cases worked out by hand."""

import calendar
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore import Cron
from qcore.domain.moments import LAST_MOMENT
from tests.domain.schedules.walk import EXPRESSIONS, ZONES, Known, changes, walk

pytestmark = pytest.mark.filterwarnings("ignore::qcore.schedules.AmbiguousDays")

DAY = 86_400
CASES = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))


def at(text: str) -> float:
    """Return the moment of an ISO date and time, in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def ticks(cron: Cron, start: float, until: float) -> Iterator[float]:
    """Yield the ticks after a moment, each asked for with the one before."""
    tick = cron.after(start)
    while tick is not None and tick <= until:
        yield tick
        tick = cron.after(tick)


def days_of(cron: Cron, year: int) -> list[date]:
    """Return the days of a year, in UTC, on which an expression ticks."""
    found = ticks(cron, at(f"{year}-01-01") - 1, at(f"{year}-12-31T23:59"))
    return [datetime.fromtimestamp(each, UTC).date() for each in found]


@st.composite
def moments_near_changes(draw: st.DrawFn) -> tuple[str, int]:
    """Return a zone, and a minute at most a day and a half from where its clocks change."""
    zone = draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(changes(zone)))
    minutes = draw(st.one_of(st.integers(-180, 180), st.integers(-36 * 60, 36 * 60)))
    return zone, change + 60 * minutes


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['expression']} {case['zone']} {case['start']}"
)
def test_a_case_that_was_worked_out_by_hand(case: dict[str, Any]) -> None:
    """Gaps, repeated hours, odd shifts, a day that does not exist, and both day fields."""
    cron, tick = Cron(case["expression"], case["zone"]), at(case["start"])
    for expected in case["ticks"]:
        tick = cron.after(tick) or 0.0
        assert tick == at(expected)


@pytest.mark.parametrize("start", ["2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:59"])
def test_the_end_of_a_repeated_hour_is_no_part_of_it(start: str) -> None:
    """What is due when its second pass is over is due once, whichever pass was asked in."""
    assert Cron("0 3 * * *", "Europe/Berlin").after(at(start)) == at("2026-10-25T02:00")


@given(EXPRESSIONS, moments_near_changes())
@settings(max_examples=60)
def test_it_ticks_as_a_walk_through_utc_does(expression: Known, where: tuple[str, int]) -> None:
    """Every tick of the walk, and no other, near changes of many zones since 1970."""
    zone, start = where
    until = start + DAY
    expected = list(islice(walk(expression, zone, start, until), 12))
    cron = Cron(expression.text, zone)
    assert list(islice(ticks(cron, start, until), 12)) == expected


@given(EXPRESSIONS, moments_near_changes(), st.floats(0, 1))
@settings(max_examples=60)
def test_a_start_changes_nothing_of_the_ticks_behind_it(
    expression: Known, where: tuple[str, int], part: float
) -> None:
    """Whoever asks at any moment before a tick gets that tick, and so it is one for all."""
    zone, start = where
    cron = Cron(expression.text, zone)
    tick = cron.after(start)
    assert tick is not None
    assert tick > start
    between = min(start + (tick - start) * part, math.nextafter(tick, 0))
    assert cron.after(between) == tick
    assert Cron(expression.text, zone).after(start) == tick


@pytest.mark.parametrize(
    ("expression", "zone", "start", "ticked"),
    [
        # Kwajalein had no 21 August 1993: a day before the match is no time that clocks showed
        ("0 * 22 8 *", "Pacific/Kwajalein", "1993-07-01", "1993-08-21T12:00"),
        # the second pass of 23:00 belongs to a day whose first pass is over
        ("30 * 26 10 *", "Africa/Cairo", "2023-10-26T20:45", "2023-10-26T21:30"),
        ("* * 29 2 *", "Europe/Berlin", "2026-03-01", "2028-02-28T23:00"),
    ],
)
def test_an_hourly_expression_of_few_days(
    expression: str, zone: str, start: str, ticked: str
) -> None:
    """However far its next day is, neither pass of an hour and no first minute is lost."""
    assert Cron(expression, zone).after(at(start)) == at(ticked)


def test_a_year_of_a_nightly_report() -> None:
    """One each night, on days with clocks put forward and back too."""
    found = list(ticks(Cron("30 2 * * *", "Europe/Berlin"), at("2026-01-01"), at("2027-01-01")))
    days = {datetime.fromtimestamp(each, ZoneInfo("Europe/Berlin")).date() for each in found}
    assert len(found) == len(days) == 365


def test_an_expression_of_seconds() -> None:
    """The seconds are the first of six fields."""
    cron = Cron("*/20 30 2 * * *", "Europe/Berlin", seconds=True)
    assert list(islice(ticks(cron, at("2026-03-28"), at("2026-04-01")), 5)) == [
        at("2026-03-28T01:30:00"),
        at("2026-03-28T01:30:20"),
        at("2026-03-28T01:30:40"),
        at("2026-03-29T01:00:00"),  # all three of the gap
        at("2026-03-30T00:30:00"),
    ]
    every_second = Cron("* * * * * *", "Europe/Berlin", seconds=True)
    assert every_second.after(at("2026-10-25T01:29:59.5")) == at("2026-10-25T01:30:00")
    assert every_second.after(at("2026-10-25T01:30:00")) == at("2026-10-25T01:30:01")


@pytest.mark.parametrize(
    ("expression", "is_due"),
    [
        ("0 0 L * *", lambda day: (day + timedelta(days=1)).day == 1),
        ("0 0 1,L * *", lambda day: day.day == 1 or (day + timedelta(days=1)).day == 1),
        ("0 0 * * 2#3", lambda day: day.weekday() == 1 and 15 <= day.day <= 21),
        ("0 0 * * tue-wed#5", lambda day: day.weekday() in {1, 2} and day.day > 28),
        ("0 0 * * L5", lambda day: day.weekday() == 4 and (day + timedelta(days=7)).day < 8),
        ("0 0 * * FRIL", lambda day: day.weekday() == 4 and (day + timedelta(days=7)).day < 8),
        ("0 0 * * L7", lambda day: day.weekday() == 6 and (day + timedelta(days=7)).day < 8),
        ("0 0 13 * 5", lambda day: day.day == 13 or day.weekday() == 4),
        ("0 0 13 * */4", lambda day: day.day == 13 and day.weekday() in {6, 3}),
        ("0 0 */2 * 1", lambda day: day.day % 2 == 1 and day.weekday() == 0),
        ("0 0 */1 * 1", lambda day: day.weekday() == 0),
        ("0 0 ? * 1", lambda day: day.weekday() == 0),
        ("0 0 1-31 * 1", lambda _: True),
        ("0 0 31 2 1", lambda day: day.month == 2 and day.weekday() == 0),
        ("0 0 L * 1", lambda day: (day + timedelta(days=1)).day == 1 or day.weekday() == 0),
        ("0 0 * * sat-mon", lambda day: day.weekday() in {5, 6, 0}),
        ("0 0 * * 5-7", lambda day: day.weekday() in {4, 5, 6}),
        ("0 0 * * 7-1", lambda day: day.weekday() in {6, 0}),
        ("0 0 * NOV-feb,Jun *", lambda day: day.month in {11, 12, 1, 2, 6}),
    ],
)
@pytest.mark.parametrize("year", [2026, 2028])
def test_days_of_a_year(expression: str, is_due: Callable[[date], bool], year: int) -> None:
    """Days that are counted from a month's end or by weekday, and both day fields at once."""
    first = date(year, 1, 1)
    every_day = [first + timedelta(days=each) for each in range(365 + calendar.isleap(year))]
    assert days_of(Cron(expression), year) == [day for day in every_day if is_due(day)]


def test_the_weekday_nearest_to_a_day() -> None:
    """It stays in its month: for a Saturday the 1st it is Monday, for a Sunday the last Friday."""
    firsts = {day.month: day for day in days_of(Cron("0 0 1W * *"), 2026)}
    assert (firsts[1].day, firsts[2].day, firsts[8].day) == (1, 2, 3)
    lasts = {day.month: day for day in days_of(Cron("0 0 W31 * *"), 2026)}
    assert (lasts[1].day, lasts[5].day, lasts[2].day) == (30, 29, 27)


@pytest.mark.parametrize(
    ("minutes", "values"),
    [
        ("5-5", [5]),
        ("59/15", [59]),
        ("50-10/15", [5, 50]),
        ("50/5", [50, 55]),
        ("*/25", [0, 25, 50]),
        ("*/60", [0]),
        ("05,7", [5, 7]),
    ],
)
def test_minutes_of_an_hour(minutes: str, values: list[int]) -> None:
    """Ranges that wrap go on with their step, and a range of one value is that value."""
    found = ticks(Cron(f"{minutes} 0 * * *"), at("2026-01-01") - 1, at("2026-01-01T23:00"))
    assert [(each - at("2026-01-01")) / 60 for each in found] == values


def test_hours_that_wrap_with_a_step() -> None:
    """Three hours from 22:00 on it is 01:00."""
    found = ticks(Cron("0 22-4/3 * * *"), at("2026-01-01") - 1, at("2026-01-01T23:00"))
    assert [(each - at("2026-01-01")) / 3_600 for each in found] == [1, 4, 22]


def test_another_thread_may_ask_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """None gets an answer to another's question, though croniter keeps its place in itself."""
    cron = Cron("0 3 * * *", "Europe/Berlin")
    expected, others = cron.after(at("2026-01-01")), [at("2026-06-01")]
    set_current = croniter.set_current

    def interrupted(iterator: Any, *arguments: Any, **options: Any) -> float:
        current = set_current(iterator, *arguments, **options)
        if others:
            assert cron.after(others.pop()) == at("2026-06-01T01:00")
        return current

    monkeypatch.setattr(croniter, "set_current", interrupted)
    assert cron.after(at("2026-01-01")) == expected
    assert not others


def test_ticks_end_with_the_year_9999() -> None:
    """Nor does anything fail there, whatever the zone."""
    for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
        assert Cron("0 0 29 2 *", zone).after(at("9996-03-01")) is None
        assert Cron("* * * * *", zone).after(LAST_MOMENT - 3 * DAY) is not None
        assert Cron("* * * * *", zone).after(LAST_MOMENT - 1) is None
        assert Cron("0 12 * * *", zone).after(float("inf")) is None


def test_a_moment_before_the_epoch() -> None:
    """A clock of a test may begin at 0."""
    assert Cron("0 * * * *").after(-1.0) == 0.0
