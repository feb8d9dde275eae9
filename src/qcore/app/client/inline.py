"""Run a coroutine that never suspends, without an event loop: blocking callers share the code."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from qcore.domain.errors import QcoreError

T = TypeVar("T")


class Suspended(QcoreError):
    """A coroutine suspended where blocking code steps it, and there is no event loop to wait on."""


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in one step, without a loop; return what it returns.

    Raises `Suspended`, and closes the coroutine, if it waits for anything: then it was given an
    awaiting link where a blocking one belongs (`broker.blocking()`).
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise Suspended(
        f"{coroutine!r} suspended: a blocking client needs a broker whose link blocks; "
        "use broker.blocking(), or await the asynchronous client instead"
    )
