"""What a group of exceptions means for the task whose handler raised it."""

from collections.abc import Sequence

import pytest

from qcore.domain.backoff import Fixed
from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.error_groups import MAX_NAMED, leaves
from qcore.domain.retry import Judgement, RetryPolicy, described, judge
from qcore.domain.states import State
from qcore.domain.transitions import Exhausted, Failed, Rejected, Revoked, Snoozed
from qcore.testing.builders import NOW, a_stored_task, a_task
from qcore.testing.dice import ScriptedDice


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    """Return a group as `asyncio.TaskGroup` raises it."""
    return BaseExceptionGroup("unhandled errors in a TaskGroup", errors)


def judged(error: BaseException, *, max_retry: int = 3) -> Judgement:
    """Judge now, by a curve of 7 seconds, with dice that roll a half."""
    task = a_stored_task(a_task(max_retry=max_retry), state=State.ACTIVE)
    policy = RetryPolicy(Fixed(7.0), is_failure=lambda error: not isinstance(error, OSError))
    return judge(error, task, policy, ScriptedDice(0.5), now=NOW)


@pytest.mark.parametrize(
    "word",
    [SkipRetry("never"), Revoke(), Retry("soon", delay=5), Retry(), RateLimited(100), Snooze(9)],
    ids=repr,
)
def test_a_group_of_one_word_means_the_word(word: Exception) -> None:
    """However deep it is in groups, and however often."""
    assert judged(group(word)) == judged(word)
    assert judged(group(group(word), group(group(word)))) == judged(word)


def test_a_group_may_lead_to_another_in_many_ways() -> None:
    """Each is looked at once: there are 2**60 paths here."""
    found: BaseException = SkipRetry("never")
    for _ in range(60):
        found = group(found, found)
    assert judged(found) == Rejected("never")
    assert len(leaves(found)) == 1


def test_a_group_may_say_that_it_is_empty() -> None:
    """It is an error like any other."""
    empty = type("Empty", (ExceptionGroup,), {"exceptions": ()})("x", [SkipRetry()])
    assert judged(empty) == Failed("Empty: x (1 sub-exception)", again_at=NOW + 7)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ([Snooze(9), Snooze(90), Snooze(at=NOW + 30)], Snoozed(NOW + 90)),
        ([RateLimited(200), RateLimited(100)], Snoozed(NOW + 210)),
        ([Retry("a", delay=5), Retry("b", delay=50)], Failed("a; b", again_at=NOW + 50)),
        ([Retry("a"), Retry("b", delay=5)], Failed("a; b", again_at=NOW + 5)),
        ([Retry("a"), Retry("a")], Failed("a", again_at=NOW + 7)),
    ],
    ids=repr,
)
def test_of_several_of_a_kind_the_latest_moment_counts(
    words: Sequence[Exception], verdict: Judgement
) -> None:
    """Each of them asked not to run before its own."""
    assert judged(group(*words)) == verdict


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (
            [Snooze(9), SkipRetry("never"), Revoke()],
            Rejected(
                "ExceptionGroup: unhandled errors in a TaskGroup (3 sub-exceptions): "
                "Snooze: in 9.0 s; SkipRetry: never; Revoke"
            ),
        ),
        ([Retry("r", delay=5), Revoke("gone")], Revoked()),
        ([RateLimited(100), Snooze(200)], Snoozed(NOW + 105)),
    ],
    ids=repr,
)
def test_of_several_kinds_the_gravest_counts(
    words: Sequence[Exception], verdict: Judgement
) -> None:
    """`SkipRetry`, `Revoke`, `Retry`, `RateLimited`, `Snooze`, in this order."""
    assert judged(group(*words)) == verdict


def test_retry_is_graver_than_what_burns_nothing() -> None:
    """A retry is burned, and the moment is that of the `Retry`."""
    answer = judged(group(Snooze(9), Retry("r", delay=5), RateLimited(1)))
    assert isinstance(answer, Failed)
    assert (answer.again_at, answer.burns) == (NOW + 5, True)
    assert isinstance(judged(group(Snooze(9), Retry("r")), max_retry=0), Exhausted)


@pytest.mark.parametrize("word", [Revoke(), Retry("r", delay=5), RateLimited(1), Snooze(9)])
def test_an_ordinary_error_beside_words_is_a_failure(word: Exception) -> None:
    """It is judged by the policy: nothing that failed is put off or deleted without a trace."""
    answer = judged(group(word, ValueError("v")))
    assert isinstance(answer, Failed)
    assert answer.again_at == NOW + 7
    assert "ValueError: v" in answer.error


def test_skip_retry_outweighs_an_ordinary_error() -> None:
    """What is in vain is not tried again because something else failed too."""
    answer = judged(group(ValueError("v"), group(SkipRetry("never"))))
    assert isinstance(answer, Rejected)
    assert "ValueError: v; SkipRetry: never" in answer.error


def test_the_policy_is_asked_about_the_group() -> None:
    """A group is no OSError, even if all in it are."""
    answer = judged(group(OSError("o")))
    assert isinstance(answer, Failed)
    assert answer.burns


def test_a_stored_group_names_what_is_in_it() -> None:
    """Each error once, and not too many of them."""
    nested = group(ValueError("v"), group(KeyError("k"), ValueError("v")))
    assert described(nested) == (
        "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): "
        "ValueError: v; KeyError: 'k'"
    )
    many = group(*(ValueError(number) for number in range(100)))
    assert described(many).endswith(f"ValueError: {MAX_NAMED - 1}; and 80 more")


def test_groups_may_be_nested_as_deeply_as_they_like() -> None:
    """No recursion: the leaf is found."""
    error: BaseException = ValueError("v")
    for _ in range(10_000):
        error = group(error)
    assert [str(each) for each in leaves(error)] == ["v"]
    # a group so deep could not be freed without recursion either
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
