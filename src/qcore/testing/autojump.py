"""`Jumper`: when an asyncio loop is idle, move a `ManualClock` instead of waiting.

As in Trio's `MockClock`, with which an idle run loop jumps to its next deadline.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, cast

from qcore.app.worker.pools.threads import in_flight
from qcore.domain.errors import InvalidOption

_WATCH: Final = "_qcore_idle_watch"
"""The attribute of a loop's selector that holds its `_IdleWatch`, which lives as long."""


class Jumper:
    """Ask `jump` to wake somebody whenever `loop` has nothing to do.

    The loop's selector is asked first, without waiting: what the world has to say (sockets, pipes,
    signals, `call_soon_threadsafe`) always comes before a jump. Then it may wait up to `threshold`
    real seconds for it. While a call that went through `loop.run_in_executor` (as `to_thread`
    does) is running, or a handler that a worker runs in a thread or a process, the loop waits for
    it and nothing jumps. Other threads cannot be seen: for them there is `threshold`, as with
    Trio's `MockClock(autojump_threshold=…)`.

    One jump at a time, however many jumpers a loop has: whoever it has woken runs before the next,
    and they all wait for the longest of their thresholds.

    Raises `InvalidOption` for a loop without a selector, such as uvloop's.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, jump: Callable[[], bool], threshold: float
    ) -> None:
        self.jump = jump
        """Wakes somebody and returns True, or returns False."""
        self.threshold = threshold
        self._watch = _watch_of(loop)
        self._watch.add(self)

    def close(self) -> None:
        """Leave the loop as it was, when this is its last one."""
        self._watch.remove(self)


class _IdleWatch:
    """Notice when a loop is idle, and let its jumpers jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selector: Any) -> None:
        self._loop = cast("Any", loop)
        self._selector = selector
        self._jumpers: list[Jumper] = []
        self._is_in_place = False
        self._in_executor = 0

    def add(self, jumper: Jumper) -> None:
        self._jumpers.append(jumper)
        if self._is_in_place:
            return
        self._is_in_place = True
        self._old_select = self._selector.select
        self._old_run_in_executor = self._loop.run_in_executor
        self._selector.select = self._select
        self._loop.run_in_executor = self._run_in_executor

    def remove(self, jumper: Jumper) -> None:
        if jumper in self._jumpers:
            self._jumpers.remove(jumper)
        # if somebody else has wrapped the loop since, their wrapper stays and calls through ours
        if (
            self._jumpers
            or self._selector.select != self._select
            or self._loop.run_in_executor != self._run_in_executor
        ):
            return
        self._is_in_place = False
        self._selector.select = self._old_select
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
        threshold = max((each.threshold for each in self._jumpers), default=0.0)
        if threshold <= 0:
            return []
        return self._ask(threshold if timeout is None else min(threshold, timeout))

    def _jump(self) -> bool:
        """Let one jumper jump, the latest first; return whether one did."""
        return any(each.jump() for each in reversed(self._jumpers))

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


def _watch_of(loop: asyncio.AbstractEventLoop) -> _IdleWatch:
    """Return the only one that a loop has."""
    selector: Any = getattr(loop, "_selector", None)
    if selector is None:
        raise InvalidOption(
            f"autojump cannot see when a {type(loop).__module__} loop waits: use asyncio's own "
            "event loop for this test, or move the clock with advance()"
        )
    watch: _IdleWatch = getattr(selector, _WATCH, None) or _IdleWatch(loop, selector)
    setattr(selector, _WATCH, watch)
    return watch
