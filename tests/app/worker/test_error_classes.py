"""Which errors are retried, said by their classes."""

from typing import Any

import pytest

from qcore import Context, InvalidOption, Qcore, Retry, Router, SkipRetry, Snooze, State
from qcore.backoff import fixed
from qcore.domain.retry import ErrorKinds, RetryPolicy
from qcore.testing import ManualClock, drain


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    """Return a group of errors."""
    return ExceptionGroup("several", errors)


RETRIED, DEAD = State.ARCHIVED, State.DEAD


@pytest.mark.parametrize(
    ("said", "error", "state"),
    [
        ({"retry_on": (ConnectionError,)}, ConnectionResetError(), RETRIED),
        ({"retry_on": (ConnectionError,)}, OSError(), DEAD),
        ({"retry_on": ConnectionError}, ValueError(), DEAD),
        ({"retry_on": ()}, ConnectionError(), DEAD),
        ({"give_up_on": (ValueError,)}, UnicodeError(), DEAD),
        ({"give_up_on": [ValueError]}, OSError(), RETRIED),
        ({"give_up_on": ()}, OSError(), RETRIED),
        # of two that fit, the nearer to the error's own class decides
        ({"retry_on": (OSError,), "give_up_on": (ConnectionError,)}, OSError(), RETRIED),
        ({"retry_on": (OSError,), "give_up_on": (ConnectionError,)}, ConnectionError(), DEAD),
        ({"retry_on": (ConnectionError,), "give_up_on": (OSError,)}, ConnectionError(), RETRIED),
        ({"retry_on": (ConnectionError,), "give_up_on": (OSError,)}, FileNotFoundError(), DEAD),
        ({"retry_on": (ConnectionError,), "give_up_on": (OSError,)}, ValueError(), DEAD),
        # of a group each has to be retried
        ({"retry_on": (OSError,)}, group(OSError(), ConnectionError()), RETRIED),
        ({"retry_on": (OSError,)}, group(OSError(), ValueError()), DEAD),
        ({"give_up_on": (ValueError,)}, group(OSError(), group(ValueError())), DEAD),
        ({"retry_on": (OSError,)}, group(OSError(), Snooze(5)), RETRIED),
        ({"retry_on": (ExceptionGroup,)}, group(ValueError()), RETRIED),
        # what says itself what follows is not asked about
        ({"retry_on": (OSError,)}, Retry(delay=1), RETRIED),
        ({"retry_on": (OSError,)}, SkipRetry("no"), DEAD),
        ({"retry_on": (OSError,)}, Snooze(5), State.SCHEDULED),
    ],
    ids=str,
)
async def test_only_what_is_to_be_retried_is(
    said: dict[str, Any], error: Exception, state: State
) -> None:
    """What is not is dead after its first run."""
    q = Qcore("memory://", clock=ManualClock(), instruments=[], retry=fixed(5))
    attempts: list[int] = []

    @q.task("fails", max_retry=2, **said)
    async def fails(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise error

    handle = await fails.enqueue()
    if state is State.SCHEDULED:
        await drain(q, jump=False)
        assert len(attempts) == 1
    else:
        await drain(q)
        assert len(attempts) == (1 if state is DEAD else 3)
    assert await handle.status() is state


async def test_the_nearest_to_a_task_says_it() -> None:
    """A task before its router, and that before the queue; the curve is left to whoever has one."""
    clock = ManualClock()
    q = Qcore("memory://", clock=clock, instruments=[], retry=fixed(5), give_up_on=(OSError,))
    router = Router(retry_on=(OSError,))
    ends: dict[str, State] = {}

    def declare(owner: Router, name: str, **said: Any) -> Any:
        @owner.task(name, max_retry=1, **said)
        async def fails(ctx: Context) -> None:
            raise OSError("no disk")

        return fails

    tasks = {
        "queue": declare(q, "queue"),
        "task": declare(q, "task", give_up_on=()),
        "router": declare(router, "router"),
        "router's task": declare(router, "router's task", retry_on=(ValueError,)),
        "policy": declare(q, "policy", retry=RetryPolicy(kinds=ErrorKinds((OSError,)))),
    }
    q.include(router)
    for name, task in tasks.items():
        handle = await task.enqueue()
        began = clock.now()
        await drain(q)
        ends[name] = await handle.status()
        if name == "router":
            assert clock.now() == began + 5
    assert ends == {
        "queue": DEAD,
        "task": RETRIED,
        "router": RETRIED,
        "router's task": DEAD,
        "policy": RETRIED,
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"retry_on": (7,)},
            r"retry_on has 7: expected classes of errors, as \(ConnectionError,\)",
        ),
        ({"retry_on": "OSError"}, "retry_on has 'O': expected classes of errors"),
        ({"give_up_on": (int,)}, "give_up_on has <class 'int'>: expected classes of errors"),
        ({"give_up_on": (OSError("x"),)}, r"give_up_on has OSError\('x'\): expected classes"),
        ({"retry_on": (Snooze,)}, "retry_on has Snooze, which says itself what follows"),
        (
            {"retry_on": (OSError,), "give_up_on": (OSError,)},
            "OSError is in retry_on and in give_up_on: expected it in one of them",
        ),
    ],
    ids=str,
)
def test_what_is_no_class_of_errors_is_refused(said: dict[str, Any], words: str) -> None:
    """Wherever it is said."""
    q = Qcore("memory://")

    def task(**options: Any) -> None:
        q.task("x", **options)(handler)

    for declare in (Qcore.later, Router, task):
        with pytest.raises(InvalidOption, match=words):
            declare(**said)


def handler(ctx: Context) -> None:
    """Be a handler."""
