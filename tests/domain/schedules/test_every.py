"""Elapsed time from a fixed anchor: exact, the same for all who ask, read back from its text."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qcore import InvalidOption
from qcore.domain.moments import LAST_MOMENT
from qcore.schedules import Every, schedule_from

INTERVALS = st.integers(1, 10**9).map(lambda thousandths: thousandths / 1_000)
MOMENTS = st.floats(0, 4e9)
EVERY = st.builds(Every, INTERVALS, MOMENTS)


def test_it_ticks_at_multiples_of_its_interval_since_the_epoch() -> None:
    """No start of a process has a part in it."""
    assert Every(30).after(1_000_000_001.5) == 1_000_000_020
    assert Every(timedelta(minutes=5)).after(1_000_000_001.5) == 1_000_000_200


def test_a_tick_is_strictly_later() -> None:
    """A scheduler that asks at a tick gets the next one."""
    assert Every(30).after(0.0) == 30
    assert Every(30).after(math.nextafter(30, 0)) == 30
    assert Every(30).after(30.0) == 60


def test_an_anchor_moves_its_ticks() -> None:
    """Before the anchor it ticks in the same phase: the anchor is no start."""
    noon = Every(timedelta(days=1), anchor=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert noon.after(0.0) == 12 * 3_600
    assert noon.after(12 * 3_600) == 36 * 3_600


@given(EVERY, MOMENTS)
@example(Every(0.1), 0.3)
@example(Every(0.001), math.nextafter(1e9, 0))
def test_ticks_are_later_and_an_interval_apart(every: Every, moment: float) -> None:
    """No rounding loses a tick, or gives one twice."""
    first = every.after(moment)
    assert first is not None
    assert moment < first <= moment + every.interval + 2e-6
    second = every.after(first)
    assert second is not None
    assert second - first == pytest.approx(every.interval, abs=2e-6)


@given(EVERY, MOMENTS, st.floats(0, 1))
def test_the_same_tick_whoever_asks(every: Every, moment: float, part: float) -> None:
    """Two that ask at different moments before a tick get it to the last bit."""
    first = every.after(moment)
    assert first is not None
    between = moment + (first - moment) * part
    assert every.after(between) == first or between >= first


@given(EVERY)
def test_it_is_read_back_as_it_was_stored(every: Every) -> None:
    """Its text says all of it."""
    again = schedule_from(every.spelled())
    assert again == every
    assert hash(again) == hash(every)
    assert again.spelled() == every.spelled()


@pytest.mark.parametrize(
    ("text", "every", "spelled", "words"),
    [
        ("@every 30s", Every(30), "@every 30s", "every 30 seconds"),
        ("@every 1h30m", Every(5_400), "@every 90m", "every 1 hour 30 minutes"),
        ("  @every  1.5h ", Every(5_400), "@every 90m", "every 1 hour 30 minutes"),
        ("@every 500ms", Every(0.5), "@every 0.5s", "every 0.5 seconds"),
        ("@every 1d", Every(86_400), "@every 1d", "every day"),
        ("@every 60s", Every(60), "@every 1m", "every minute"),
        ("@every 1s", Every(1), "@every 1s", "every second"),
        (
            "@every 2d from 2026-01-01T06:00+01:00",
            Every(172_800, datetime(2026, 1, 1, 6, tzinfo=timezone(timedelta(hours=1)))),
            "@every 2d from 2026-01-01T05:00:00Z",
            "every 2 days, counted from 2026-01-01 05:00:00 UTC",
        ),
    ],
)
def test_its_text_and_its_words(text: str, every: Every, spelled: str, words: str) -> None:
    """As a person writes it, as it is stored, and as it is shown."""
    assert schedule_from(text) == every
    assert every.spelled() == spelled
    assert every.describe() == words


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@every", "units d, h, m, s and ms"),
        ("@every 30", "units d, h, m, s and ms"),
        ("@every 1w", "units d, h, m, s and ms"),
        ("@every -5s", "units d, h, m, s and ms"),
        ("@every 0s", "interval is 0.0: expected 0.001 seconds or more"),
        ("@every 1h from tea", "counts from 'tea': expected a date and a time"),
        ("@every 1h from 2026-01-01T06:00", "anchor is the naive datetime"),
        ("@every " + "9" * 400 + "s", "interval is inf: expected a finite duration"),
    ],
)
def test_a_text_that_is_no_interval_is_refused(text: str, why: str) -> None:
    """With what was found and what was expected."""
    with pytest.raises(InvalidOption, match=why):
        schedule_from(text)


@pytest.mark.parametrize("interval", [0, -1, math.nan, math.inf, 0.0001, True, "30s", None])
def test_an_interval_that_is_no_duration_is_refused(interval: object) -> None:
    """Where it is declared."""
    with pytest.raises(InvalidOption, match="interval is "):
        Every(interval)


def test_nothing_ticks_after_the_year_9999() -> None:
    """Nor does anything fail there."""
    assert Every(86_400).after(LAST_MOMENT) is None
    assert Every(86_400).after(LAST_MOMENT - 3_600) is None
    assert Every(1).after(math.inf) is None
