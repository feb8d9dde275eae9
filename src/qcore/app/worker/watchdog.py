"""Report a handler that blocks the event loop, with the stack at which it does."""

import asyncio
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Final

from qcore.app.worker.instruments import Instruments
from qcore.domain.events import LoopBlocked

INTERVAL: Final = 1.0
"""Seconds between two probes, and after which a loop that has not answered is blocked."""
MOST_FRAMES: Final = 12


class Watchdog:
    """Probe the event loop every second, from a thread of its own.

    In real time, whatever the worker's clock: a loop that is blocked is blocked in real time.
    """

    def __init__(self, emit: Instruments, *, interval: float = INTERVAL) -> None:
        self._emit = emit
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._answered.set()
        self._probed = 0.0
        self._last_lag = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="qcore-watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for it."""
        self._stopping.set()
        self._answered.set()
        self._thread.join()

    @property
    def lag(self) -> float:
        """Return by how many seconds the loop answered late, or has not answered yet."""
        return self._last_lag if self._answered.is_set() else time.monotonic() - self._probed

    def _watch(self) -> None:
        while not self._stopping.wait(self._interval):
            self._answered.clear()
            probed = self._probed = time.monotonic()
            self._loop.call_soon_threadsafe(self._answer)
            # each further report of one blockage waits twice as long as the one before
            timeout = self._interval
            while not self._answered.wait(timeout) and not self._stopping.is_set():
                timeout *= 2
                self._emit(LoopBlocked(time.monotonic() - probed, self._stack()))

    def _answer(self) -> None:
        self._last_lag = time.monotonic() - self._probed
        self._answered.set()

    def _stack(self) -> str:
        frame: FrameType | None = sys._current_frames().get(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._loop_thread
        )
        return "".join(traceback.format_stack(frame)[-MOST_FRAMES:]) if frame else ""
