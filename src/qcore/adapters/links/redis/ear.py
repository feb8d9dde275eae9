"""Listening to channels, on a thread of its own: whoever is woken may be busy or blocked."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import SystemRandom
from typing import Final

from redis.exceptions import RedisError

from qcore.adapters.links.redis.shapes import Told
from qcore.adapters.links.redis.wires import BlockingConnection
from qcore.adapters.links.redis.words import Word, packed

QUIET: Final = 30.0
"""Seconds of silence after which the server is asked whether it is still there."""
LONGEST_PAUSE: Final = 2.0


class Ear:
    """Call `heard` for every message to some channels, and after every new connection.

    A message that says something, and is not empty, goes to `told` instead, with its channel.
    `connect` makes a connection that blocks, to wherever the messages are now.
    """

    def __init__(
        self,
        connect: Callable[[], BlockingConnection],
        channels: Sequence[str],
        heard: Callable[[], None],
        told: Told | None = None,
    ) -> None:
        self._connect = connect
        self._channels = channels
        self._heard = heard
        self._told = told
        self._closed = threading.Event()
        self._connection: BlockingConnection | None = None
        self._lock = threading.Lock()
        self.ready: Final = threading.Event()
        """Set once it listens, or has failed to."""
        self.error: Exception | None = None
        """What went wrong last, None while it listens."""
        threading.Thread(target=self._serve, name="qcore-redis-ear", daemon=True).start()

    async def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        with self._lock, suppress(RedisError, OSError):
            if self._connection is not None:
                # its answer wakes the thread, which then disconnects
                _send(self._connection, "UNSUBSCRIBE")

    def _serve(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._attend()
            except (RedisError, OSError) as error:
                failures = 0 if self.error is None else failures + 1
                self.error = error
                self.ready.set()
            # all who lost the same server need not come back in the same moment
            pause = min(LONGEST_PAUSE, 0.05 * 2**failures)
            self._closed.wait(pause * SystemRandom().uniform(0.5, 1.0))

    def _attend(self) -> None:
        """Listen until the connection is lost, or nobody wants to hear any more."""
        connection = self._connect()
        try:
            connection.connect()
            _send(connection, "SUBSCRIBE", *self._channels)
            for _ in self._channels:
                connection.read_response()
            with self._lock:
                self._connection = connection
            self.error = None
            self._tell()
            self.ready.set()
            while not self._closed.is_set():
                self._hear(connection)
        finally:
            with self._lock:
                self._connection = None
            connection.disconnect()

    def _hear(self, connection: BlockingConnection) -> None:
        """Wait for a message; ask for a sign of life where none comes."""
        if not connection.can_read(timeout=QUIET):
            _send(connection, "PING")
        reply = connection.read_response()
        if reply[0] != b"message":
            return
        _, channel, text = reply
        if not text:
            self._tell()
        elif self._told is not None and not self._closed.is_set():
            # one whose loop has ended has nobody to tell
            with suppress(RuntimeError):
                self._told(channel.decode(), text)

    def _tell(self) -> None:
        if not self._closed.is_set():
            with suppress(RuntimeError):
                self._heard()


def _send(connection: BlockingConnection, *words: Word) -> None:
    connection.send_packed_command(packed([words]), check_health=False)
