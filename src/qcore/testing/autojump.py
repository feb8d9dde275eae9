"""`Jumper`: when an asyncio loop is idle, move a `ManualClock` instead of waiting.

As in Trio's `MockClock`, with which an idle run loop jumps to its next deadline.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, cast

from qcore.app.worker.pools.threads import in_flight
from qcore.domain.errors import InvalidOption


class Jumper:
    """Ask `jump` to wake somebody whenever `loop` has nothing to do.

    The loop's selector is asked first, without waiting: what the world has to say (sockets, pipes,
    signals, `call_soon_threadsafe`) always comes before a jump. Then it may wait up to `threshold`
    real seconds for it. While a call that went through `loop.run_in_executor` (as `to_thread`
    does) is running, or a handler that a worker runs in a thread or a process, the loop waits for
    it and nothing jumps. Other threads cannot be seen: for them there is `threshold`, as with
    Trio's `MockClock(autojump_threshold=…)`.

    Raises `InvalidOption` for a loop without a selector, such as uvloop's.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, jump: Callable[[], bool], threshold: float
    ) -> None:
        selector: Any = getattr(loop, "_selector", None)
        if selector is None:
            raise InvalidOption(
                f"autojump cannot see when a {type(loop).__module__} loop waits: use asyncio's own "
                "event loop for this test, or move the clock with advance()"
            )
        self._loop = cast("Any", loop)
        self._selector = selector
        self._jump = jump
        self._threshold = threshold
        self._in_executor = 0
        self._old_select = selector.select
        self._old_run_in_executor = loop.run_in_executor
        selector.select = self._select
        self._loop.run_in_executor = self._run_in_executor

    def close(self) -> None:
        """Leave the loop as it was."""
        self._jump = _never
        self._threshold = 0.0
        # if somebody else has wrapped the loop since, their wrapper stays and calls through ours
        if self._selector.select == self._select:
            self._selector.select = self._old_select
        if self._loop.run_in_executor == self._run_in_executor:
            self._loop.run_in_executor = self._old_run_in_executor

    def _select(self, timeout: float | None = None) -> list[Any]:
        """Do the selector's work; the loop calls this when it has gone round."""
        if timeout is not None and timeout <= 0:
            return self._ask(timeout)
        if events := self._ask(0) or self._linger(timeout):
            return events
        if self._in_executor == 0 and in_flight(self._loop) == 0 and self._jump():
            return []
        return self._ask(timeout)

    def _linger(self, timeout: float | None) -> list[Any]:
        """Give the world `threshold` seconds to say something."""
        if self._threshold <= 0:
            return []
        return self._ask(self._threshold if timeout is None else min(self._threshold, timeout))

    def _ask(self, timeout: float | None) -> list[Any]:
        events: list[Any] = self._old_select(timeout)
        return events

    def _run_in_executor(
        self, executor: Executor | None, func: Callable[..., Any], *args: object
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._old_run_in_executor(executor, func, *args)
        self._in_executor += 1
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _future: asyncio.Future[Any]) -> None:
        self._in_executor -= 1


def _never() -> bool:
    return False
