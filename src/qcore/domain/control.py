"""What a handler may raise to choose its own verdict."""

from datetime import UTC
from functools import partial
from typing import Final

from qcore.domain.backoff import Roll
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Duration, Moment, moment_of, seconds_of

SPREAD: Final = 0.1
"""The share of its wait over which a task that was limited comes back,"""
LEAST_SPREAD: Final = 1.0
"""seconds at least, as a server counts in whole ones,"""
MOST_SPREAD: Final = 60.0
"""and seconds at most."""


class ControlFlow(Exception):
    """Be the base of what a handler raises to choose its own verdict."""


class SkipRetry(ControlFlow):
    """End the task as dead at once, whatever is left of its retry budget."""


class Revoke(ControlFlow):
    """End the task and leave no trace of it: it is neither done nor failed, but unwanted."""


class Snooze(ControlFlow):
    """Run the task again later without burning any budget.

    Exactly one of `in_` (seconds or a timedelta from now) and `until` (an aware datetime or a
    moment) says when.
    """

    def __init__(self, in_: Duration | None = None, *, until: Moment | object = None) -> None:
        if (in_ is None) == (until is None):
            raise InvalidTask("Snooze takes either in_=… or until=…: give exactly one of them")
        self.delay = None if in_ is None else seconds_of(in_, "Snooze in_")
        self.until = None if until is None else moment_of(until, "Snooze until")
        super().__init__(f"in {self.delay} s" if self.until is None else f"until {self.until}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as an exception made with keywords cannot by itself."""
        return partial(Snooze, self.delay, until=self.until), ()

    def moment(self, now: Moment) -> Moment:
        """Return the moment to run again at."""
        return self.until if self.until is not None else now + (self.delay or 0.0)


class RateLimited(ControlFlow):
    """Run the task again when a service that had too much wants it, without burning any budget.

    `retry_after` is seconds, a timedelta, or the text of an HTTP `Retry-After` header, which is
    seconds or a date (RFC 9110, 10.2.3). The task comes back no earlier, and up to a tenth of the
    wait later (a second at least, a minute at most): many that were told the same second must not
    come back within it. Raises `InvalidTask` for any other text, and for a header that is missing.
    """

    def __init__(self, retry_after: Duration | str) -> None:
        self.retry_after = retry_after
        self.delay, self.until = _told(retry_after)
        when = f"for {self.delay} s" if self.until is None else f"until {self.until}"
        super().__init__(f"rate limited {when}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as its text is not its argument."""
        return RateLimited, (self.retry_after,)

    def moment(self, now: Moment, roll: Roll) -> Moment:
        """Return the moment to run again at, of those that the dice choose among."""
        wait = self.delay if self.until is None else self.until - now
        wait = max(0.0, wait or 0.0)
        spread = min(max(LEAST_SPREAD, wait * SPREAD), MOST_SPREAD)
        return min(now + wait + roll * spread, LAST_MOMENT)


class Retry(ControlFlow):
    """Fail this run, burning one retry, and choose the delay before the next.

    `in_` is seconds or a timedelta; without it the retry policy chooses.
    """

    def __init__(self, reason: str = "", *, in_: Duration | None = None) -> None:
        self.delay = None if in_ is None else seconds_of(in_, "Retry in_")
        super().__init__(reason or "the handler asked for a retry")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes, as an exception made with keywords cannot by itself."""
        return partial(Retry, str(self), in_=self.delay), ()


def _told(retry_after: Duration | str) -> tuple[float | None, Moment | None]:
    """Return the seconds to wait, or the moment to wait for."""
    what = "RateLimited retry_after"
    if not isinstance(retry_after, str):
        return seconds_of(retry_after, what), None
    try:
        seconds = float(retry_after)
    except ValueError:
        return None, _moment_in(retry_after, what)
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
