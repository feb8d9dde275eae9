"""Waiting for a server's process, which cannot tell us when."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which what has not happened will not."""
GLANCE = 0.01


def until(come: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Ask until the answer is true, and return it; fail, saying what, after `within` seconds."""
    deadline = monotonic() + within
    while True:
        answer = come()
        if answer:
            return answer
        assert monotonic() < deadline, f"not within {within} s: {what}"
        sleep(GLANCE)
