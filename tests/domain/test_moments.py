import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, moment_of, seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=1), 60.001),
        (timedelta(0), 0.0),
        (LAST_MOMENT, LAST_MOMENT),
    ],
)
def test_a_duration_is_seconds(value: object, seconds: float) -> None:
    """Whole numbers, floats and timedeltas are seconds, as floats."""
    answer = seconds_of(value, "delay")
    assert (answer, type(answer)) == (seconds, float)


def in_words(value: object) -> str:
    """Return how a message is to show a value: its `repr`, or the first 80 characters of it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


BAD_DURATIONS = [
    -1,
    -0.001,
    math.nan,
    math.inf,
    -math.inf,
    LAST_MOMENT * 2,
    10**400,
    True,
    False,
    None,
    "5",
    b"5",
    1j,
    datetime(2027, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("value", BAD_DURATIONS, ids=lambda value: repr(value)[:30])
def test_what_is_no_duration_is_refused_by_name(value: object) -> None:
    """Negative, endless and foreign values are refused, and the message shows what was given."""
    with pytest.raises(InvalidTask) as refused:
        seconds_of(value, "delay")
    assert str(refused.value).startswith(f"delay is {in_words(value)}: expected")


def test_a_negative_timedelta_is_refused() -> None:
    """A timedelta is held to the same range as a number, and shown in seconds."""
    with pytest.raises(InvalidTask, match=r"delay is -1.0: expected"):
        seconds_of(timedelta(seconds=-1), "delay")


def test_a_moment_is_epoch_seconds() -> None:
    """Aware datetimes of any zone and numbers are moments."""
    noon = datetime(2027, 1, 15, 12, 0, 0, 250_000, tzinfo=UTC)
    east = noon.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert moment_of(noon, "at") == moment_of(east, "at") == 1_800_014_400.25
    assert moment_of(1_800_014_400, "at") == 1_800_014_400.0
    assert type(moment_of(5, "at")) is float


def test_a_naive_datetime_is_refused() -> None:
    """Nobody can know which moment a naive datetime means; the message says what to do."""
    naive = datetime(2027, 1, 15, 12)  # noqa: DTZ001  (it is what is refused)
    with pytest.raises(InvalidTask, match=r"at is the naive datetime 2027-01-15T12:00:00: .*UTC"):
        moment_of(naive, "at")


BAD_MOMENTS = [
    -1,
    -0.001,
    math.nan,
    math.inf,
    -math.inf,
    LAST_MOMENT + 1,
    10**400,
    True,
    None,
    "now",
    timedelta(1),
]


@pytest.mark.parametrize("value", BAD_MOMENTS, ids=lambda value: repr(value)[:30])
def test_what_is_no_moment_is_refused_by_name(value: object) -> None:
    """Numbers that are no moment and foreign values are refused, and shown."""
    with pytest.raises(InvalidTask) as refused:
        moment_of(value, "at")
    assert str(refused.value).startswith(f"at is {in_words(value)}: expected")


def test_a_datetime_before_the_epoch_is_refused() -> None:
    """A datetime is held to the same range as a number."""
    with pytest.raises(InvalidTask, match=r"at is .*1969"):
        moment_of(datetime(1969, 12, 31, tzinfo=UTC), "at")


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_aware_datetime_since_the_epoch_is_a_moment(value: datetime) -> None:
    """What a datetime says to the microsecond its moment says too."""
    assert (
        abs(moment_of(value, "at") - (value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        < 1e-4
    )
