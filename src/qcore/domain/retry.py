"""The policy: what a handler raised, and how far its task has come, to one event of the table."""

from collections.abc import Callable
from typing import Final, TypeAlias

from qcore.domain.backoff import Curve, Quartic, Roll, parse
from qcore.domain.control import ControlFlow, RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.error_groups import group_text, is_a, is_group, is_in_vain, meaning_of
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.task import Task
from qcore.domain.text import said_by, storable
from qcore.domain.transitions import Exhausted, Failed, Rejected, Revoked, Snoozed

Dice: TypeAlias = Callable[[], Roll]
"""Rolls uniformly in [0, 1)."""

Judgement: TypeAlias = Failed | Exhausted | Rejected | Revoked | Snoozed

FALLBACK_ROLL: Final = 0.5
"""The middle of the dice's range."""


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


@record
class PolicyParts:
    """A retry policy of which each part may be left to somebody else, as None."""

    curve: Curve | None = None
    is_failure: Callable[[BaseException], bool] | None = None

    def over(self, other: "PolicyParts") -> "PolicyParts":
        """Return these parts, with another's where there is none."""
        curve = other.curve if self.curve is None else self.curve
        return PolicyParts(curve, other.is_failure if self.is_failure is None else self.is_failure)

    def whole(self) -> RetryPolicy:
        """Return the policy, with the usual parts where there is none."""
        usual = RetryPolicy()
        return RetryPolicy(
            usual.curve if self.curve is None else self.curve,
            usual.is_failure if self.is_failure is None else self.is_failure,
        )


def parts_of(policy: RetryPolicy | None) -> PolicyParts:
    """Return the parts of a policy, which says both; none of None."""
    return PolicyParts() if policy is None else PolicyParts(policy.curve, policy.is_failure)


def judge(
    error: BaseException, task: Task, policy: RetryPolicy, dice: Dice, *, now: Moment
) -> Judgement:
    """Return what `error`, raised by a run of `task`, means for the task.

    A curve that travels with the task comes before the policy's; what `Retry` says of when comes
    before both. The dice spread what a curve says, and those whom a service told to come later. Of
    a group of exceptions what is in it counts, and of several moments the latest.
    """
    meaning = meaning_of(error, now)
    match meaning:
        case SkipRetry():
            return Rejected(described(error))
        case Revoke():
            return Revoked()
        case Snooze():
            return Snoozed(meaning.moment(now))
        case RateLimited():
            return Snoozed(meaning.moment(now, dice()))
        case _ if is_group(error) and is_in_vain(error):
            return Rejected(described(error))
        case _:
            return _failed(error, meaning, task, policy, dice, now=now)


def _failed(
    error: BaseException,
    meaning: BaseException,
    task: Task,
    policy: RetryPolicy,
    dice: Dice,
    *,
    now: Moment,
) -> Failed | Exhausted:
    """Return the verdict on a failure, of which `Retry` says itself that it is one, and until when.

    The policy's predicate is for errors.
    """
    retry = meaning if isinstance(meaning, Retry) else None
    burns = retry is not None or bool(policy.is_failure(error))
    if burns and task.failures >= task.spec.max_retry:
        return Exhausted(described(error))
    again_at = None if retry is None else retry.moment(now)
    if again_at is None:
        curve = policy.curve if task.spec.backoff is None else parse(task.spec.backoff)
        again_at = now + curve(task.failures, dice())
    return Failed(described(error), again_at=_within_calendar(again_at, now), burns=burns)


def fallback(error: BaseException, task: Task, *, now: Moment) -> Failed | Exhausted:
    """Return the verdict on an error whose policy has failed itself: one retry, the usual curve.

    It asks nothing of the error but its text, as the error may be what failed the policy.
    """
    if task.failures >= task.spec.max_retry:
        return Exhausted(described(error))
    again_at = now + Quartic()(task.failures, FALLBACK_ROLL)
    return Failed(described(error), again_at=_within_calendar(again_at, now))


def _within_calendar(moment: Moment, now: Moment) -> Moment:
    """Return a moment that a curve chose, as one that can be stored.

    A curve may be anyone's function, and the quartic passes the year 9999 at 709 failures.
    """
    return float(min(max(now, moment), LAST_MOMENT))


def described(error: BaseException) -> str:
    """Return an error as text of bounded length that any store can hold.

    Of a group of exceptions it names those that are in it.
    """
    if is_group(error):
        return storable(group_text(error))
    said, name = said_by(error), type(error).__name__
    if said and is_a(error, ControlFlow):
        return storable(said)
    return storable(f"{name}: {said}" if said else name)
