"""Whether a transaction of Django is open, and what is enqueued when it has been committed."""

from collections.abc import Callable
from typing import Any


def is_in_transaction(connection: Any) -> bool:
    """Return whether code of the application has opened a transaction.

    The one that a `TestCase` has opened around a test is never committed: it does not count.
    """
    if not connection.in_atomic_block:
        return False
    blocks = connection.atomic_blocks
    return not blocks or any(not getattr(each, "_from_testcase", False) for each in blocks)


class AfterCommit:
    """What is to be done after a commit, once: by Django, or by a test that asks for it."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action: Callable[[], object] | None = action

    def __call__(self) -> None:
        """Do it, unless that was done."""
        action, self._action = self._action, None
        if action is not None:
            action()


def run_after_commit(connection: Any) -> int:
    """Do what waits for a commit that a `TestCase` never makes; return how much that was.

    What was rolled back to a savepoint is not among it any more.
    """
    waiting = [each[1] for each in connection.run_on_commit if isinstance(each[1], AfterCommit)]
    connection.run_on_commit = [
        each for each in connection.run_on_commit if not isinstance(each[1], AfterCommit)
    ]
    for each in waiting:
        each()
    return len(waiting)
