"""Run a coroutine that never suspends, without an event loop: blocking callers share the code."""

from collections.abc import AsyncGenerator, Coroutine, Generator
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


def iterate_inline(updates: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield what an asynchronous generator yields that never suspends; close it at the end."""
    try:
        while (each := run_inline(_next(updates))) is not None:
            yield each
    finally:
        run_inline(_closed(updates))


async def _next(updates: AsyncGenerator[T, None]) -> T | None:
    return await anext(updates, None)


async def _closed(updates: AsyncGenerator[T, None]) -> None:
    await updates.aclose()
