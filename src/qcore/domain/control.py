"""What a handler may raise to choose its own verdict."""

from functools import partial

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of


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
