import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.backoff import Exponential, Fixed, Quartic
from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.lifecycle import MOVES
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.retry import Judgement, RetryPolicy, always, described, judge
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.domain.text import MAX_ERROR, storable
from qcore.domain.transitions import Exhausted, Failed, Rejected, Revoked, Snoozed
from qcore.testing.builders import NOW, a_stored_task, a_task
from qcore.testing.dice import ScriptedDice

NO_DICE = ScriptedDice()
FIXED = RetryPolicy(Fixed(7.0))


class Busy(Exception):
    pass


def running(*, max_retry: int = 3, failures: int = 0, backoff: str | None = None) -> Task:
    """Return a task in its run after so many failures."""
    spec = a_task(max_retry=max_retry, backoff=backoff)
    return a_stored_task(spec, state=State.ACTIVE, failures=failures)


def judged(error: BaseException, task: Task, policy: RetryPolicy = FIXED) -> Judgement:
    """Judge now, with dice that roll a half."""
    return judge(error, task, policy, ScriptedDice(0.5), now=NOW)


def test_an_error_is_a_failure_retried_by_the_curve() -> None:
    """The policy's curve says when, from the failures so far and one roll."""
    task = running(failures=1)
    answer = judge(ValueError("no"), task, RetryPolicy(), ScriptedDice(0.25), now=NOW)
    assert answer == Failed("ValueError: no", again_at=NOW + 31.0)


def test_a_policy_is_quartic_and_counts_every_error_unless_told_otherwise() -> None:
    """The default curve is the quartic, and every error burns."""
    assert RetryPolicy() == RetryPolicy(Quartic(), always)
    assert always(KeyboardInterrupt())


@pytest.mark.parametrize(("failures", "retried"), [(0, True), (2, True), (3, False), (9, False)])
def test_the_failure_after_the_last_retry_exhausts(failures: int, retried: bool) -> None:  # noqa: FBT001
    """A task with three retries fails for good the fourth time, and no dice are rolled for it."""
    dice = ScriptedDice(0.5) if retried else NO_DICE
    answer = judge(ValueError("no"), running(failures=failures), FIXED, dice, now=NOW)
    assert isinstance(answer, Failed if retried else Exhausted)


def test_no_retries_mean_one_run() -> None:
    """A task with a budget of zero is exhausted by its first failure."""
    assert judged(ValueError("no"), running(max_retry=0)) == Exhausted("ValueError: no")


@pytest.mark.parametrize(
    ("delay", "again_at"),
    [(-5.0, NOW), (math.nan, NOW), (math.inf, LAST_MOMENT), (1e16, LAST_MOMENT), (0.0, NOW)],
)
def test_whatever_a_curve_answers_the_next_run_is_at_a_moment(
    delay: float, again_at: float
) -> None:
    """A delay that is none, or too long for any calendar, becomes a moment that can be stored."""
    policy = RetryPolicy(lambda _failures, _roll: delay)
    assert judged(ValueError(), running(), policy) == Failed("ValueError", again_at)


def test_the_thousandth_retry_is_within_the_calendar() -> None:
    """The quartic grows past the year 9999; the moment does not."""
    task = running(max_retry=1_000_000, failures=10_000)
    assert judged(ValueError(), task, RetryPolicy()) == Failed("ValueError", LAST_MOMENT)


def test_an_error_that_is_no_failure_is_retried_for_ever() -> None:
    """An error that does not burn is retried though the budget is spent."""
    policy = RetryPolicy(Fixed(7.0), is_failure=lambda error: not isinstance(error, Busy))
    spent = running(max_retry=0)
    assert judged(Busy("full"), spent, policy) == Failed("Busy: full", NOW + 7, burns=False)
    assert judged(ValueError("no"), spent, policy) == Exhausted("ValueError: no")


def test_a_curve_that_travels_with_the_task_comes_first() -> None:
    """The task's own curve is asked instead of the policy's."""
    task = running(failures=2, backoff=Exponential(1.0).spelled())
    assert judged(ValueError("no"), task) == Failed("ValueError: no", again_at=NOW + 2.0)


def test_a_function_may_be_a_curve() -> None:
    """A policy's curve is any function of failures and a roll."""
    policy = RetryPolicy(lambda failures, roll: failures + roll)
    answer = judged(ValueError("no"), running(failures=2), policy)
    assert answer == Failed("ValueError: no", again_at=NOW + 2.5)


def test_a_handler_may_choose_the_delay() -> None:
    """`Retry(delay=…)` comes before every curve, and rolls no dice."""
    task = running(backoff=Fixed(99.0).spelled())
    answer = judge(Retry("soon", delay=1.5), task, FIXED, NO_DICE, now=NOW)
    assert answer == Failed("soon", again_at=NOW + 1.5)


def test_a_handler_may_ask_for_a_retry_at_once() -> None:
    """A delay of zero is a delay, not the want of one."""
    answer = judge(Retry(delay=0), running(), FIXED, NO_DICE, now=NOW)
    assert answer == Failed("the handler asked for a retry", again_at=NOW)


@pytest.mark.parametrize(("at", "again_at"), [(NOW + 90.5, NOW + 90.5), (NOW - 5, NOW)])
def test_a_handler_may_choose_the_moment(at: float, again_at: float) -> None:
    """`Retry(at=…)` comes before every curve too; one that has passed means at once."""
    assert judged(Retry("soon", at=at), running()) == Failed("soon", again_at=again_at)


def test_a_retry_without_a_delay_is_left_to_the_curve() -> None:
    """`Retry()` is a failure like any other."""
    assert judged(Retry("hm"), running()) == Failed("hm", again_at=NOW + 7.0)


def test_a_retry_burns_the_budget() -> None:
    """A handler that asks for a retry with none left is exhausted."""
    assert judged(Retry("hm", delay=1), running(max_retry=0)) == Exhausted("hm")


def test_a_retry_burns_whatever_the_predicate_says_of_errors() -> None:
    """`Retry` says that it burns a retry: it is no error that a predicate could know."""
    policy = RetryPolicy(Fixed(7.0), is_failure=lambda error: isinstance(error, ValueError))
    assert judged(Retry("hm", delay=1), running(max_retry=0), policy) == Exhausted("hm")


def test_skip_retry_rejects() -> None:
    """`SkipRetry` is dead at once, whatever budget is left, and says what the handler said."""
    assert judged(SkipRetry("no such user"), running()) == Rejected("no such user")
    assert judged(SkipRetry(), running()) == Rejected("SkipRetry")


def test_revoke_revokes() -> None:
    """`Revoke` leaves no trace."""
    assert judged(Revoke("unwanted"), running()) == Revoked()


def test_snooze_puts_off() -> None:
    """`Snooze` runs again later, also with a spent budget."""
    assert judged(Snooze(5), running(max_retry=0)) == Snoozed(NOW + 5)
    assert judged(Snooze(at=NOW + 9), running()) == Snoozed(NOW + 9)


def test_who_is_rate_limited_is_put_off_and_spread() -> None:
    """`RateLimited` runs again later, also with a spent budget; one roll says how much later."""
    spent = running(max_retry=0)
    assert judged(RateLimited(100), spent) == Snoozed(NOW + 105)
    dice = ScriptedDice(0.25)
    answer = judge(RateLimited("Fri, 15 Jan 2027 08:00:20 GMT"), spent, FIXED, dice, now=NOW)
    assert answer == Snoozed(NOW + 20.5)


def test_control_flow_may_be_subclassed() -> None:
    """An application's own kind of `SkipRetry` is one."""

    class NoSuchUser(SkipRetry):
        pass

    assert judged(NoSuchUser("7"), running()) == Rejected("7")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SkipRetry(),
        Revoke(),
        Snooze(1),
        RateLimited(1),
        Retry(),
        KeyError(),
        SystemExit(1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("failures", [0, 3])
def test_every_judgement_is_a_row_of_active(error: BaseException, failures: int) -> None:
    """What the policy answers the table can always carry out."""
    assert type(judged(error, running(failures=failures))) in MOVES[State.ACTIVE]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (SkipRetry("as it is"), "as it is"),
        (Revoke(), "Revoke"),
        (OSError("caf\udce9"), "OSError: caf\\udce9"),
        (ValueError("a\0b"), "ValueError: a\\0b"),
    ],
)
def test_an_error_is_described_in_one_text(error: BaseException, text: str) -> None:
    """Its kind and what it says; what a handler chose to say stands alone."""
    assert described(error) == text


def test_an_error_whose_text_fails_is_still_an_error() -> None:
    """An exception with a broken `__str__` is judged by its kind."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert judged(Broken(), running(max_retry=0)) == Exhausted("Broken")


@given(st.text(st.characters(), max_size=3_000))
def test_what_is_stored_of_an_error_is_bounded_text(text: str) -> None:
    """Any text, with surrogates and zeros too, becomes text that UTF-8 and C can hold."""
    kept = storable(text)
    kept.encode()
    assert "\0" not in kept
    assert len(kept) <= MAX_ERROR


def test_a_long_error_is_cut_and_says_so() -> None:
    """What is kept of a long text is its beginning, with a mark where it was cut."""
    assert storable("x" * MAX_ERROR) == "x" * MAX_ERROR
    assert storable("x" * (MAX_ERROR + 1)) == "x" * (MAX_ERROR - 1) + "…"
