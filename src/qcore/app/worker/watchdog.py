"""Notice when a handler keeps the event loop from turning, and say where it stands."""

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
MOST_FRAMES: Final = 12


class Watchdog:
    """Ask the loop for a sign of life every second, from a thread of its own.

    In real time, whatever the worker's clock says: a loop that is stuck is stuck in this world.
    """

    def __init__(self, emit: Instruments, *, interval: float = INTERVAL) -> None:
        self._emit = emit
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="qcore-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._leaving.set()
        self._answered.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._leaving.wait(self._interval):
            self._answered.clear()
            asked = time.monotonic()
            self._loop.call_soon_threadsafe(self._answered.set)
            # each further report of the same block waits twice as long as the one before
            patience = self._interval
            while not self._answered.wait(patience) and not self._leaving.is_set():
                patience *= 2
                self._emit(LoopBlocked(time.monotonic() - asked, self._stack()))

    def _stack(self) -> str:
        frame: FrameType | None = sys._current_frames().get(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            self._loop_thread
        )
        return "".join(traceback.format_stack(frame)[-MOST_FRAMES:]) if frame else ""
