"""Run a coroutine on the best loop there is."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from qcore.entrypoints.exiting import no_longer

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns; on uvloop if it is installed."""
    runner = asyncio.Runner(loop_factory=_factory())
    try:
        value = runner.run(main)
    except BaseException:
        with no_longer(1):
            runner.close()
        raise
    with no_longer():
        runner.close()
    return value


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop, None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
