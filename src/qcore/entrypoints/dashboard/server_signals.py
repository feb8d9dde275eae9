"""Whether the server of this process has been told to stop, before it tells its applications.

Servers wait for open connections first, so a stream that lasts has to end by itself. While there is
one, a handler of ours stands before that of the server, counts, and calls it. It is seen by asking,
four times a second: a handler may not touch the event loop. What asyncio calls by
`add_signal_handler` needs no call of ours, as asyncio reads of a signal from a descriptor.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

Handler = Callable[[int, FrameType | None], Any]
STOPPING: Final = ("SIGTERM", "SIGINT", "SIGBREAK")
"""By name, as not every system has them."""
NUMBERS: Final[tuple[int, ...]] = tuple(
    getattr(signal, name) for name in STOPPING if hasattr(signal, name)
)


class ServerSignals:
    """How often this process was told to stop, while somebody wants to know."""

    def __init__(self) -> None:
        self.count = 0
        self._holders = 0
        self._before: dict[int, Handler] = {}
        """Number to the handler that ours stands before."""

    def hold(self) -> None:
        """Count from now on, until `release` is called as often. Only the main thread can."""
        self._holders += 1
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NUMBERS:
            handler = signal.getsignal(number)
            # one that is none of Python's cannot be called, and a default ends the process anyway
            if callable(handler) and handler != self._take:
                self._before[number] = handler
                signal.signal(number, self._take)

    def release(self) -> None:
        """Put back the handlers that were there, unless the server has set others since."""
        self._holders -= 1
        if self._holders or threading.current_thread() is not threading.main_thread():
            return
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, handler)
        self._before.clear()

    def are_leaving_since(self, count: int) -> bool:
        """Return whether a signal has come since there were so many, or the server leaves anyhow.

        A server such as uvicorn's, whose handler is a method of it, also stops without a signal.
        """
        handler: object = signal.getsignal(signal.SIGTERM)
        if handler == self._take:
            handler = self._before[signal.SIGTERM]
        server: object = getattr(handler, "__self__", None)
        return self.count != count or getattr(server, "should_exit", False) is True

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        before = self._before.get(number)
        if before is not None:
            before(number, frame)


SERVER_SIGNALS: Final = ServerSignals()
"""Those of this process."""
