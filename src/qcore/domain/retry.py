"""The policy: what a handler raised, and how far its task has come, to one event of the table."""

from collections.abc import Callable
from typing import Final, TypeAlias

from qcore.domain.backoff import Curve, Quartic, Roll, parse
from qcore.domain.control import ControlFlow, RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.error_groups import (
    BY_GRAVITY,
    group_text,
    is_a,
    is_group,
    is_in_vain,
    leaves,
    meaning_of,
)
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
class ErrorKinds:
    """Which errors are retried, by their classes; of two that fit, the nearer to the error's own.

    Of a group of exceptions each has to be one, or the group's own class.
    """

    retry_on: tuple[type[BaseException], ...] | None = None
    """None for all but those of `give_up_on`."""
    give_up_on: tuple[type[BaseException], ...] = ()

    def retries(self, error: BaseException) -> bool:
        """Return whether an error is retried."""
        found = self._said(error)
        if found is None and is_group(error):
            return all(self.retries(each) for each in leaves(error))
        if is_a(error, BY_GRAVITY):
            # of a group: it asks for something itself
            return True
        return self.retry_on is None if found is None else found

    def _said(self, error: BaseException) -> bool | None:
        """Return what is said of an error's class; None for nothing."""
        for kind in type(error).__mro__:
            if kind in self.give_up_on:
                return False
            if kind in (self.retry_on or ()):
                return True
        return None


ALL_ERRORS: Final = ErrorKinds()


@record
class RetryPolicy:
    """How a failed run is followed by another.

    `curve` turns failures and a roll into seconds; `is_failure` says whether an error burns the
    retry budget (one that does not is retried all the same, as in Asynq's `IsFailure`); `kinds`
    says which errors are retried at all.
    """

    curve: Curve = Quartic()
    is_failure: Callable[[BaseException], bool] = always
    kinds: ErrorKinds = ALL_ERRORS


@record
class PolicyParts:
    """A retry policy of which each part may be left to somebody else, as None."""

    curve: Curve | None = None
    is_failure: Callable[[BaseException], bool] | None = None
    kinds: ErrorKinds | None = None

    def over(self, other: "PolicyParts") -> "PolicyParts":
        """Return these parts, with another's where there is none."""
        return PolicyParts(
            other.curve if self.curve is None else self.curve,
            other.is_failure if self.is_failure is None else self.is_failure,
            other.kinds if self.kinds is None else self.kinds,
        )

    def whole(self) -> RetryPolicy:
        """Return the policy, with the usual parts where there is none."""
        usual = RetryPolicy()
        return RetryPolicy(
            usual.curve if self.curve is None else self.curve,
            usual.is_failure if self.is_failure is None else self.is_failure,
            usual.kinds if self.kinds is None else self.kinds,
        )


def parts_of(policy: RetryPolicy | None) -> PolicyParts:
    """Return the parts of a policy, which says a curve and what is a failure; none of None.

    Which errors are retried it says only if not all are.
    """
    if policy is None:
        return PolicyParts()
    kinds = None if policy.kinds is ALL_ERRORS else policy.kinds
    return PolicyParts(policy.curve, policy.is_failure, kinds)


def judge(
    error: BaseException, task: Task, policy: RetryPolicy, dice: Dice, *, now: Moment
) -> Judgement:
    """Return what `error`, raised by a run of `task`, means for the task.

    A curve that travels with the task comes before the policy's; what `Retry` says of when comes
    before both. What the policy does not retry is dead. The dice spread what a curve says, and
    those whom a service told to come later. Of a group of exceptions what is in it counts, and of
    several moments the latest.
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
        case _ if _is_final(error, meaning, policy):
            return Rejected(described(error))
        case _:
            return _failed(error, meaning, task, policy, dice, now=now)


def _is_final(error: BaseException, meaning: BaseException, policy: RetryPolicy) -> bool:
    """Return whether nothing can be gained by another run, as a part of it said, or its policy."""
    if is_group(error) and is_in_vain(error):
        return True
    return not isinstance(meaning, Retry) and not policy.kinds.retries(error)


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
    if burns and _is_spent(task):
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
    if _is_spent(task):
        return Exhausted(described(error))
    again_at = now + Quartic()(task.failures, FALLBACK_ROLL)
    return Failed(described(error), again_at=_within_calendar(again_at, now))


def _is_spent(task: Task) -> bool:
    """Return whether no retry is left."""
    return task.failures >= task.spec.max_retry and not task.spec.is_endless


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
