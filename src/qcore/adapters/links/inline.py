"""Running what never suspends, where there is no loop."""

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def stepped(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine over a link that blocks returns: it never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("what blocks has suspended")
