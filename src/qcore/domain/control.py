"""Exceptions that a handler raises to choose its own verdict."""

from datetime import UTC, datetime
from functools import partial
from typing import Final

from qcore.domain.backoff import Roll
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Duration, Moment, moment_of, seconds_of
from qcore.domain.text import shown

SPREAD: Final = 0.1
"""The share of its wait by which a rate-limited task is spread,"""
LEAST_SPREAD: Final = 1.0
"""seconds at least, as a server counts in whole ones,"""
MOST_SPREAD: Final = 60.0
"""and seconds at most."""


class ControlFlow(Exception):
    """The base of the exceptions by which a handler chooses its own verdict."""


class SkipRetry(ControlFlow):
    """End the task as dead at once, whatever is left of its retry budget."""


class Revoke(ControlFlow):
    """End the task and leave no trace of it: it is neither done nor failed, but unwanted."""


class Snooze(ControlFlow):
    """Run the task again later without burning any budget.

    Exactly one of `delay` (seconds or a timedelta from now) and `at` (an aware datetime or a
    moment) says when. Raises `InvalidTask` for neither, for both, and for a value that is none.
    """

    def __init__(
        self, delay: Duration | None = None, *, at: datetime | Moment | None = None
    ) -> None:
        if (delay is None) == (at is None):
            raise InvalidTask("Snooze takes either delay=… or at=…: give exactly one of them")
        self.delay = None if delay is None else seconds_of(delay, "Snooze delay")
        self.at = None if at is None else moment_of(at, "Snooze at")
        super().__init__(f"in {self.delay} s" if self.at is None else f"until {self.at}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as an exception made with keywords cannot by itself."""
        return partial(Snooze, self.delay, at=self.at), ()

    def moment(self, now: Moment) -> Moment:
        """Return the moment to run again at."""
        return self.at if self.at is not None else now + (self.delay or 0.0)


class RateLimited(ControlFlow):
    """Run the task again when a service that had too much wants it, without burning any budget.

    `delay` is seconds, a timedelta, or the text of an HTTP `Retry-After` header, which is seconds
    or a date (RFC 9110, 10.2.3); in its place `at` may be an aware datetime or a moment. The task
    comes back no earlier, and up to a tenth of the wait later (a second at least, a minute at
    most): many that were told the same second must not come back within it. Raises `InvalidTask`
    for any other text, for a header that is missing, and for both.
    """

    def __init__(
        self, delay: Duration | str | None = None, *, at: datetime | Moment | None = None
    ) -> None:
        if delay is not None and at is not None:
            raise InvalidTask("RateLimited takes either delay or at=…: give exactly one of them")
        self.delay, self.at = _delay_or_moment(delay, at)
        when = f"for {self.delay} s" if self.at is None else f"until {self.at}"
        super().__init__(f"rate limited {when}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as an exception made with keywords cannot by itself."""
        return partial(RateLimited, self.delay, at=self.at), ()

    def moment(self, now: Moment, roll: Roll) -> Moment:
        """Return the moment to run again at, of those that the dice choose among."""
        wait = self.delay if self.at is None else self.at - now
        wait = max(0.0, wait or 0.0)
        spread = min(max(LEAST_SPREAD, wait * SPREAD), MOST_SPREAD)
        return min(now + wait + roll * spread, LAST_MOMENT)


class Retry(ControlFlow):
    """Fail this run, burning one retry, and choose when the next one begins.

    At most one of `delay` (seconds or a timedelta from now) and `at` (an aware datetime or a
    moment) says when; without them the retry policy chooses. What is given without a name is the
    delay, as in `Snooze(30)`, unless it is text: then it is the reason. Raises `InvalidTask` for
    both, and for a value that is none.
    """

    def __init__(
        self,
        reason: Duration | str = "",
        *,
        delay: Duration | None = None,
        at: datetime | Moment | None = None,
    ) -> None:
        if not isinstance(reason, str):
            if delay is not None:
                raise InvalidTask(f"Retry has two delays, {shown(reason)} and {shown(delay)}")
            delay, reason = reason, ""
        if delay is not None and at is not None:
            raise InvalidTask("Retry takes delay=… or at=…: give one of them at most")
        self.delay = None if delay is None else seconds_of(delay, "Retry delay")
        self.at = None if at is None else moment_of(at, "Retry at")
        super().__init__(reason or "the handler asked for a retry")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as an exception made with keywords cannot by itself."""
        return partial(Retry, str(self), delay=self.delay, at=self.at), ()

    def moment(self, now: Moment) -> Moment | None:
        """Return the moment to run again at; None leaves it to the retry policy."""
        return self.at if self.delay is None else now + self.delay


def _delay_or_moment(
    delay: Duration | str | None, at: datetime | Moment | None
) -> tuple[float | None, Moment | None]:
    """Return the seconds to wait, or the moment to wait for."""
    if at is not None:
        return None, moment_of(at, "RateLimited at")
    what = "RateLimited delay"
    if not isinstance(delay, str):
        return seconds_of(delay, what), None
    try:
        seconds = float(delay)
    except ValueError:
        return None, _moment_in(delay, what)
    return seconds_of(seconds, what), None


def _moment_in(text: str, what: str) -> Moment:
    """Return the moment that an HTTP date names, in any of the three forms that HTTP has had."""
    # imported where it is needed: it knows much, of sockets even
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise InvalidTask(
            f"{what} is {text!r}: expected seconds, or a date such as Retry-After has"
        ) from None
    # the oldest form names no zone, and means the same one
    return moment_of(date if date.tzinfo else date.replace(tzinfo=UTC), what)
