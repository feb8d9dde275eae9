"""A blocking connection over TCP, a Unix socket or TLS, on a socket of its own.

A blocking enqueue waits for two system calls, `send` and `recv`. Python's sockets, given a timeout,
poll before each, and redis-py's connection has three layers above them. Here a plain socket's
timeouts are the kernel's (SO_RCVTIMEO), and a reply is read in the frame that asked for it: a
lone enqueue takes a tenth less of the processor (`python -m bench.redis_turns`).
"""

import _socket
import os
import socket
import ssl
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from qcore.adapters.links.redis.connection_base import ConnectionSettings, connecting
from qcore.adapters.links.redis.resp import INCOMPLETE, Reply, encode_batched, new_reader
from qcore.adapters.links.redis.tls import client_context

READ_BYTES: Final = 1 << 16
"""Bytes of one `recv`."""
SHORTEST: Final = 1e-3
"""Seconds: to a kernel, none mean that there is no limit."""
TIMEVAL: Final = struct.Struct("ll")
"""Seconds and microseconds (socket(7)), where a long has 64 bits as the kernel's time has."""
HAS_TIMEVAL: Final = sys.platform in {"linux", "darwin"} and TIMEVAL.size == 2 * 8
"""Whether a timeout is given to the kernel in that form."""


class SyncSocketConnection:
    """A connection for one thread at a time, not yet connected; it repeats no command."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings: Final = settings
        self._timeout = settings.timeout
        self._socket: Any = None
        self._reader: Any = None
        self._process = 0
        self._limits_itself = False
        """Whether the kernel, not Python, ends what takes longer than the timeout."""

    def connect(self) -> None:
        """Connect, unless that was done; raise `ConnectFailed`."""
        if self._socket is not None:
            return
        with connecting():
            made = self._open_socket()
            self._process = os.getpid()
            self._socket, self._reader = made, new_reader()
            try:
                self._limits_itself = self._use_kernel_timeouts(made)
                self._shake_hands()
            except BaseException:
                self.disconnect()
                raise

    def _open_socket(self) -> socket.socket:
        """Return a socket connected to the first of the host's addresses that accepts."""
        if self.settings.path is not None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            made.settimeout(self._timeout)
        else:
            made = socket.create_connection((self.settings.host, self.settings.port), self._timeout)
        try:
            return self._prepared(made)
        except BaseException:
            made.close()
            raise

    def _prepared(self, made: socket.socket) -> socket.socket:
        if self.settings.path is not None:
            made.connect(self.settings.path)
            return made
        # send at once, and notice in the end that the other side is gone
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.settings.tls is None:
            return made
        context = client_context(self.settings.tls)
        return context.wrap_socket(made, server_hostname=self.settings.host)

    def _use_kernel_timeouts(self, made: Any) -> bool:
        """Leave timeouts to the kernel where the socket is the system's own; return whether.

        TLS waits by Python's timeout; and what a library has put in the place of `socket.socket`,
        as gevent does, waits in a way of its own.
        """
        is_plain = isinstance(made, _socket.socket) and not isinstance(made, ssl.SSLSocket)
        if not (is_plain and HAS_TIMEVAL):
            return False
        made.settimeout(None)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self._timeout))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._timeout))
        return True

    def _shake_hands(self) -> None:
        """Authenticate, select the database, and say who we are."""
        try:
            required, optional = self.settings.handshake(), self.settings.library_info()
            if required or optional:
                self.send_packed_command(encode_batched([*required, *optional]), check_health=False)
            for _ in required:
                self.read_response()
            for _ in optional:
                with suppress(ResponseError):
                    self.read_response()
        except (RedisError, OSError) as error:
            # the frames where it was raised have the password among their variables, and what
            # prints tracebacks for an application may show those
            raise error.with_traceback(None)  # noqa: B904  (it is the same error)

    def disconnect(self) -> None:
        """Close the socket; who waits for a reply on another thread finds the connection lost."""
        closed, self._socket = self._socket, None
        if closed is not None:
            if self._process == os.getpid():
                # not in a forked child, whose parent goes on with the connection
                with suppress(OSError):
                    closed.shutdown(socket.SHUT_RDWR)
            closed.close()

    def __del__(self) -> None:
        """Close the socket of a client that was dropped, as many a script's is, and say nothing."""
        with suppress(Exception):
            if self._socket is not None:
                self._socket.close()

    def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:  # noqa: ARG002
        """Send buffers; raise `TimeoutError` where they are not taken in time."""
        here = self._socket
        if here is None:
            raise RedisConnectionError("the connection was closed")
        try:
            for buffer in command:
                here.sendall(buffer)
        except BlockingIOError as error:
            raise TimeoutError("the command was not taken in time") from error

    def read_response(
        self,
        *,
        timeout: float | None = None,
        disconnect_on_error: bool = True,  # noqa: ARG002  (whoever lends a connection closes it)
    ) -> Reply:
        """Return the next reply; raise an error reply.

        Raises `TimeoutError` where it takes longer than `timeout`, else the settings', in seconds.
        """
        reader, here = self._reader, self._socket
        if here is None:
            raise RedisConnectionError("the connection was closed")
        while (reply := reader.gets()) is INCOMPLETE:
            try:
                if timeout is None:
                    received = here.recv(READ_BYTES)
                else:
                    received = self._received(here, timeout)
            except BlockingIOError as error:
                raise TimeoutError("the reply did not arrive in time") from error
            if not received:
                raise RedisConnectionError("the server closed the connection")
            reader.feed(received)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _received(self, here: socket.socket, seconds: float) -> bytes:
        """Return what arrives within so many seconds."""
        self._limit(here, seconds)
        try:
            return here.recv(READ_BYTES)
        finally:
            # closed meanwhile, by another thread
            with suppress(OSError):
                self._limit(here, self._timeout)

    def _limit(self, here: socket.socket, seconds: float) -> None:
        if self._limits_itself:
            here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))
        else:
            here.settimeout(max(SHORTEST, seconds))


def _timeval(seconds: float) -> bytes:
    whole, part = divmod(max(SHORTEST, seconds), 1)
    return TIMEVAL.pack(int(whole), int(part * 1e6))
