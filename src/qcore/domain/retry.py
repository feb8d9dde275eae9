"""The policy: what a handler raised, and how far its task has come, to one event of the table."""

from collections.abc import Callable
from typing import Final, TypeAlias

from qcore.domain.backoff import Curve, Quartic, Roll, parse
from qcore.domain.control import ControlFlow, RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.lifecycle import Exhausted, Failed, Rejected, Revoked, Snoozed
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.task import Task

Dice: TypeAlias = Callable[[], Roll]
"""Rolls uniformly in [0, 1)."""

Judgement: TypeAlias = Failed | Exhausted | Rejected | Revoked | Snoozed

MAX_ERROR: Final = 2_000
"""Characters of an error that are kept."""


def always(_error: BaseException) -> bool:
    """Count every error as a failure."""
    return True


@record
class RetryPolicy:
    """How a failed run is followed by another.

    `curve` turns failures and a roll into seconds; `is_failure` says whether an error burns the
    retry budget (one that does not is retried all the same, as in Asynq's `IsFailure`).
    """

    curve: Curve = Quartic()
    is_failure: Callable[[BaseException], bool] = always


def judge(
    error: BaseException, task: Task, policy: RetryPolicy, dice: Dice, *, now: Moment
) -> Judgement:
    """Return what `error`, raised by a run of `task`, means for the task.

    A curve that travels with the task comes before the policy's; what `Retry` says of when comes
    before both. The dice spread what a curve says, and those whom a service told to come later.
    """
    match error:
        case SkipRetry():
            return Rejected(described(error))
        case Revoke():
            return Revoked()
        case Snooze():
            return Snoozed(error.moment(now))
        case RateLimited():
            return Snoozed(error.moment(now, dice()))
        case _:
            return _failed(error, task, policy, dice, now=now)


def _failed(
    error: BaseException, task: Task, policy: RetryPolicy, dice: Dice, *, now: Moment
) -> Failed | Exhausted:
    # `Retry` says of itself that it burns one; the predicate is for errors
    burns = isinstance(error, Retry) or policy.is_failure(error)
    if burns and task.failures >= task.spec.max_retry:
        return Exhausted(described(error))
    again_at = error.moment(now) if isinstance(error, Retry) else None
    if again_at is None:
        curve = policy.curve if task.spec.backoff is None else parse(task.spec.backoff)
        again_at = now + curve(task.failures, dice())
    # a curve may be anyone's function, and the quartic passes the year 9999 at 709 failures
    again_at = min(max(now, again_at), LAST_MOMENT)
    return Failed(described(error), again_at=again_at, burns=burns)


def described(error: BaseException) -> str:
    """Return an error as text of bounded length that any store can hold."""
    said, name = _said(error), type(error).__name__
    text = f"{name}: {said}" if said else name
    if said and isinstance(error, ControlFlow):
        text = said
    # a lone surrogate, as in a file name, is not text to a store
    return storable(text)


def _said(error: BaseException) -> str:
    """Return what an error says, nothing where its own `__str__` fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an error about an error must not hide the first)
        return ""


def storable(text: str) -> str:
    """Return text cut to the length that is kept, with what UTF-8 cannot say escaped."""
    text = escaped(text)
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 1]}…"


def escaped(text: str) -> str:
    """Return text with what UTF-8 cannot say, and what ends text elsewhere, escaped."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
