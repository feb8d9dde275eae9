"""The child's end of the socket between a supervisor and its worker; see `qcore…supervisor`.

Nothing heavy is imported here: orders are obeyed, and the end of the supervisor is noticed, from
the first lines of a process on.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Final

from qcore.entrypoints.early_stop import ask_to_leave

VARIABLE: Final = "_QCORE_SUPERVISOR"
"""Of the environment: the number of the descriptor."""
READ_SIZE: Final = 4_096


class Order(Enum):
    """What a supervisor tells its worker, a line each."""

    STOP = "stop"
    STOP_AT_ONCE = "stop at once"
    PAUSE = "pause"
    RESUME = "resume"
    MEASURE = "measure"
    ORPHANED = "orphaned"
    """No line: the supervisor is gone."""


class Word(Enum):
    """What a worker tells its supervisor, at the beginning of a line."""

    SERVING = "serving"
    CAN_CLAIM = "can-claim"
    CANNOT_CLAIM = "cannot-claim"
    """A reason follows."""
    TURNING = "turning"
    """Its event loop is not blocked."""
    AT_LIMIT = "at-limit"
    """A reason follows."""
    COUNTED = "counted"
    """What follows was counted since the last time."""
    LOADED = "loaded"
    """How busy it is follows."""
    MEASURED = "measured"
    """What the store says follows, or a part of that."""


ORDERS: Final = {each.value.encode(): each for each in Order}
"""By their lines. Others, of a supervisor that runs another version of qcore, are ignored."""
LEAVING: Final = {Order.STOP, Order.STOP_AT_ONCE, Order.ORPHANED}


class SupervisorLink:
    """Read orders in a thread, and send words from any."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._obey: Callable[[Order], None] = self._leave_early
        self._is_paused = False
        thread = threading.Thread(target=self._listen, name="qcore-supervised", daemon=True)
        thread.start()

    def follow(self, obey: Callable[[Order], None]) -> None:
        """Call `obey`, in another thread, with each order from now on.

        Until then a worker that is to leave leaves while it is still being imported; that it is to
        pause is kept for later.
        """
        with self._lock:
            self._obey = obey
            if self._is_paused:
                obey(Order.PAUSE)

    def tell(self, word: Word, reason: str = "") -> bool:
        """Send a word, and return whether it was.

        One for which there is no room is lost: the supervisor does not read. The system takes short
        lines, as these are, whole or not at all.
        """
        line = " ".join([word.value, *reason.split()])
        with suppress(OSError):
            self._channel.send(f"{line}\n".encode("utf-8", "replace"), socket.MSG_DONTWAIT)
            return True
        return False

    def _leave_early(self, order: Order) -> None:
        if order in LEAVING:
            ask_to_leave()
        if order in {Order.PAUSE, Order.RESUME}:
            self._is_paused = order is Order.PAUSE

    def _listen(self) -> None:
        for order in self._orders():
            with self._lock:
                self._obey(order)

    def _orders(self) -> Iterator[Order]:
        rest = b""
        # of a supervisor that was killed before it has read everything the socket is reset
        with suppress(OSError), self._channel:
            while came := self._channel.recv(READ_SIZE):
                *lines, rest = (rest + came).split(b"\n")
                yield from (ORDERS[line] for line in lines if line in ORDERS)
        yield Order.ORPHANED


_link: SupervisorLink | None = None


def follow_supervisor() -> None:
    """Open the link of a process that a supervisor has started; other processes just return."""
    global _link  # noqa: PLW0603  (there is one command in a process, and one supervisor)
    number = os.environ.pop(VARIABLE, "")
    if number.isdecimal() and os.name != "nt":
        # what handlers start is not to have it
        os.set_inheritable(int(number), False)  # noqa: FBT003  (it takes no keywords)
        _link = SupervisorLink(socket.socket(fileno=int(number)))


def supervisor_link() -> SupervisorLink | None:
    """Return the link to the supervisor of this process; None where it has none."""
    return _link
