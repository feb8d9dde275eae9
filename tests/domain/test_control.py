import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qcore.domain.control import ControlFlow, RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.errors import InvalidTask, QcoreError
from qcore.domain.moments import LAST_MOMENT
from qcore.testing.builders import NOW


@pytest.mark.parametrize(
    ("snooze", "moment"),
    [
        (Snooze(5), NOW + 5),
        (Snooze(0), NOW),
        (Snooze(timedelta(minutes=1)), NOW + 60),
        (Snooze(at=NOW + 7.5), NOW + 7.5),
        (Snooze(at=datetime(2027, 1, 15, 8, 0, 9, tzinfo=UTC)), NOW + 9),
        (Snooze(at=0), 0.0),
    ],
)
def test_a_snooze_knows_its_moment(snooze: Snooze, moment: float) -> None:
    """A delay counts from now, a moment stands by itself."""
    assert snooze.moment(NOW) == moment


def test_a_snooze_takes_one_of_the_two() -> None:
    """Neither and both are refused, and the message says so."""
    with pytest.raises(InvalidTask, match="exactly one"):
        Snooze()
    with pytest.raises(InvalidTask, match="exactly one"):
        Snooze(5, at=NOW)


def test_a_retry_takes_one_of_the_two_at_most() -> None:
    """Both are refused, and the message says so."""
    with pytest.raises(InvalidTask, match="one of them at most"):
        Retry(delay=5, at=NOW)


def test_each_word_takes_what_comes_without_a_name_for_the_delay() -> None:
    """A number and a timedelta mean the same in all of them, and so does `at`."""
    for given, wait in ((30, 30.0), (timedelta(seconds=2), 2.0)):
        assert [word(given).delay for word in (Snooze, Retry, RateLimited)] == [wait] * 3
    assert [word(at=NOW).at for word in (Snooze, Retry, RateLimited)] == [NOW] * 3


@pytest.mark.parametrize("bad", [-1, math.nan, True, b"5", ValueError("x")])
def test_a_retry_refuses_what_is_neither_a_delay_nor_a_reason(bad: Any) -> None:
    """It is not taken for a reason."""
    with pytest.raises(InvalidTask, match="Retry delay is"):
        Retry(bad)


def test_a_word_takes_one_delay() -> None:
    """Two of them, or a delay and a moment, are refused."""
    with pytest.raises(InvalidTask, match="two delays, 5 and 6"):
        Retry(5, delay=6)
    with pytest.raises(InvalidTask, match="one of them at most"):
        Retry(5, at=NOW)
    with pytest.raises(InvalidTask, match="exactly one"):
        RateLimited(5, at=NOW)


@pytest.mark.parametrize("bad", [-1, math.nan, "5", True])
def test_a_delay_that_is_none_is_refused(bad: float) -> None:
    """The message names the exception and the argument."""
    with pytest.raises(InvalidTask, match="Snooze delay is"):
        Snooze(bad)
    with pytest.raises(InvalidTask, match="Retry delay is"):
        Retry(delay=bad)
    with pytest.raises(InvalidTask, match="Snooze at is"):
        Snooze(at=bad)
    with pytest.raises(InvalidTask, match="Retry at is"):
        Retry(at=bad)


def test_a_snooze_until_a_naive_datetime_is_refused() -> None:
    """A snooze is held to the same rule as every moment."""
    with pytest.raises(InvalidTask, match="naive"):
        Snooze(at=datetime(2027, 1, 1))  # noqa: DTZ001  (it is what is refused)


def test_a_snooze_says_until_when() -> None:
    """The text of a snooze is good for a log."""
    assert (str(Snooze(5)), str(Snooze(at=9))) == ("in 5.0 s", "until 9.0")


@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        (30, 30.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        ("30", 30.0),
        (" 1.5 ", 1.5),
        ("Fri, 15 Jan 2027 08:00:09 GMT", 9.0),
        ("Friday, 15-Jan-27 08:00:09 GMT", 9.0),
        ("Fri Jan 15 08:00:09 2027", 9.0),
        ("Fri, 15 Jan 2027 07:59:59 GMT", 0.0),
        (0, 0.0),
    ],
)
def test_who_is_rate_limited_waits_as_long_as_it_was_told(
    retry_after: float | timedelta | str, wait: float
) -> None:
    """Seconds, a timedelta, or what a `Retry-After` header may be; a date that was is now."""
    assert RateLimited(retry_after).moment(NOW, 0.0) == NOW + wait


@pytest.mark.parametrize(
    ("wait", "latest"), [(0, 1.0), (5, 6.0), (10, 11.0), (100, 110.0), (600, 660.0), (9000, 9060.0)]
)
def test_who_is_rate_limited_comes_back_a_little_later_than_told(wait: int, latest: float) -> None:
    """Dice spread it over a tenth of the wait, a second at least and a minute at most."""
    limited = RateLimited(wait)
    assert limited.moment(NOW, 0.0) == NOW + wait
    assert limited.moment(NOW, 0.5) == NOW + (wait + latest) / 2


def test_who_is_rate_limited_for_ever_comes_back_within_the_calendar() -> None:
    """The longest wait there is, from now, ends when the calendar does."""
    assert RateLimited(LAST_MOMENT).moment(NOW, 0.5) == LAST_MOMENT


@pytest.mark.parametrize(
    "bad", [-1, math.nan, math.inf, True, None, "", "soon", "-1", "nan", "1e999", b"5"]
)
def test_a_retry_after_that_is_none_is_refused(bad: Any) -> None:
    """A header that is missing, or says neither seconds nor a date, is an error that names it."""
    with pytest.raises(InvalidTask, match="RateLimited delay is"):
        RateLimited(bad)


@pytest.mark.parametrize(
    "bad", ["Thu, 01 Jan 1903 00:00:00 GMT", "Fri, 15 Jan 2027 08:00:09 +9999999999999999"]
)
def test_a_date_that_is_no_moment_is_refused(bad: str) -> None:
    """It is held to the same rule as every moment, and so is the zone."""
    with pytest.raises(InvalidTask, match="RateLimited delay is"):
        RateLimited(bad)


def test_who_is_rate_limited_says_until_when() -> None:
    """The text is good for a log, and says which of the two the service named."""
    assert str(RateLimited("5")) == "rate limited for 5.0 s"
    assert str(RateLimited("Thu, 01 Jan 1970 00:00:09 GMT")) == "rate limited until 9.0"


@pytest.mark.parametrize(
    ("retry", "delay", "text"),
    [
        (Retry(), None, "the handler asked for a retry"),
        (Retry("busy"), None, "busy"),
        (Retry("busy", delay=5), 5.0, "busy"),
        (Retry(delay=timedelta(seconds=0.5)), 0.5, "the handler asked for a retry"),
        (Retry(delay=0), 0.0, "the handler asked for a retry"),
        (Retry(30), 30.0, "the handler asked for a retry"),
        (Retry(0), 0.0, "the handler asked for a retry"),
        (Retry(timedelta(minutes=1)), 60.0, "the handler asked for a retry"),
        (Retry(reason="busy", delay=5), 5.0, "busy"),
        (Retry("30"), None, "30"),
    ],
)
def test_a_retry_has_a_reason_and_perhaps_a_delay(
    retry: Retry, delay: float | None, text: str
) -> None:
    """Without a delay the policy chooses; without a reason there is a usual one."""
    assert (retry.delay, str(retry)) == (delay, text)


@pytest.mark.parametrize("kind", [SkipRetry, Revoke, Snooze, RateLimited, Retry])
def test_control_flow_is_no_error_of_ours(kind: type[ControlFlow]) -> None:
    """What a handler raises to choose its verdict is not caught as a `QcoreError`."""
    assert issubclass(kind, ControlFlow)
    assert not issubclass(kind, QcoreError)


@pytest.mark.parametrize(
    "raised",
    [
        SkipRetry("no such user"),
        Revoke("unwanted"),
        Snooze(5),
        Snooze(at=NOW),
        RateLimited(5),
        RateLimited(timedelta(seconds=5)),
        RateLimited("5"),
        RateLimited("Fri, 15 Jan 2027 08:00:09 GMT"),
        RateLimited(at=NOW),
        Retry("busy", delay=5),
        Retry(5),
        Retry(),
    ],
    ids=repr,
)
def test_control_flow_travels_between_processes(raised: ControlFlow) -> None:
    """A handler in a child process may raise it: it arrives as it was."""
    arrived = pickle.loads(pickle.dumps(raised))  # noqa: S301  (it is ours)
    assert type(arrived) is type(raised)
    assert (str(arrived), vars(arrived)) == (str(raised), vars(raised))
