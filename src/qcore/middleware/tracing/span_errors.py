"""What went wrong in a run or a call, as a span says it."""

import asyncio
from typing import Final

from attrs import field
from opentelemetry.trace import Span, Status, StatusCode

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.worker.error_context import traceback_text
from qcore.domain.control import RateLimited, Revoke, Snooze
from qcore.domain.error_groups import meaning_of
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.retry import described
from qcore.domain.text import storable
from qcore.middleware.tracing import conventions

_ENDED: Final = {
    CancelReason.LEASE_LOST: (
        conventions.LEASE_LOST,
        "its lease was lost: the task was cancelled, or another worker has it",
    ),
    CancelReason.SHUTDOWN: (conventions.SHUTDOWN, "its worker left, and gave the task back"),
}


@record
class SpanError:
    """An error of a span: its type, which is of few values, and what it says."""

    type: str
    text: str
    error: BaseException | None = field(default=None, eq=False)

    def set_on(self, span: Span) -> None:
        """Make a span one that failed, with the error as an event if there is one.

        A text that UTF-8 cannot say would lose the whole batch of spans on its way out.
        """
        text = storable(self.text)
        span.set_attribute(conventions.ERROR_TYPE, storable(self.type))
        span.set_status(Status(StatusCode.ERROR, text))
        if self.error is None:
            return
        event = {
            conventions.EXCEPTION_TYPE: storable(type_of(self.error)),
            conventions.EXCEPTION_MESSAGE: text,
            conventions.EXCEPTION_STACKTRACE: traceback_text(self.error) or "",
        }
        span.add_event(conventions.EXCEPTION, event)


def type_of(error: BaseException) -> str:
    """Return the name of an error's class, with its module unless that is Python's own."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def error_of(error: BaseException) -> SpanError:
    """Return what a call has raised."""
    return SpanError(type_of(error), described(error), error)


def run_error(
    error: BaseException | None, reason: CancelReason | None, now: Moment
) -> SpanError | None:
    """Return what went wrong in a run that raised an error, or returned; None for nothing.

    As the worker judges it: `Snooze`, `RateLimited` and `Revoke` are no failures, and a handler
    that returns because it was cancelled has not done its work.
    """
    if reason in _ENDED:
        kind, text = _ENDED[reason]
        return SpanError(kind, text, error)
    if reason is CancelReason.TIMEOUT and (
        error is None or isinstance(error, asyncio.CancelledError)
    ):
        return SpanError("TimeoutError", "it was cut by its timeout or its deadline", error)
    if error is None or isinstance(meaning_of(error, now), Snooze | RateLimited | Revoke):
        return None
    return error_of(error)
