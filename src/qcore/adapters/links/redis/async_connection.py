"""An asynchronous connection over TCP, a Unix socket or TLS, on a non-blocking socket of its own.

redis-py's goes through asyncio's streams. A lone enqueue over them takes 1.6 times the CPU time
(`python -m bench.redis connections`), and under uvloop their writes leave only when the loop has
run all that is ready: a worker's next claim would leave after the handlers of the last one have
run, instead of being answered meanwhile.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from qcore.adapters.links.redis.connection_base import ConnectionSettings, connecting
from qcore.adapters.links.redis.resp import INCOMPLETE, Reply, encode_batched, new_reader
from qcore.adapters.links.redis.tls import TlsSession, client_context

READ_BYTES: Final = 1 << 16
"""Bytes of one `recv`."""


class AsyncSocketConnection:
    """A connection that belongs to the event loop it was connected on."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings: Final = settings
        self._timeout = settings.timeout
        self._socket: socket.socket | None = None
        self._tls: TlsSession | None = None
        self._reader: Any = None
        self._waiter: asyncio.Future[bool] | None = None
        self._error: Exception | None = None
        self._deliver: Callable[[Reply], bool] | None = None
        self._heard_at = 0.0

    async def connect(self) -> None:
        """Connect, unless that was done and the server is still there; raise `ConnectFailed`."""
        if self._socket is not None and self._error is None:
            return
        await self.disconnect(nowait=True)
        self._loop = asyncio.get_running_loop()
        with connecting():
            async with asyncio.timeout(self._timeout):
                made = await self._open_socket()
                try:
                    self._tls = await self._start_tls(made)
                except BaseException:
                    made.close()
                    raise
            self._socket, self._error, self._reader = made, None, new_reader()
            self._loop.add_reader(made, self._on_readable)
            try:
                if self._tls is not None:
                    # what has arrived together with the end of the TLS handshake
                    self._reader.feed(self._tls.decrypt(b""))
                await self._shake_hands()
            except BaseException:
                await self.disconnect(nowait=True)
                raise

    async def _open_socket(self) -> socket.socket:
        """Return a socket connected to the first of the host's addresses that accepts."""
        if self.settings.path is not None:
            return await self._try_address(socket.AF_UNIX, self.settings.path)
        host = self.settings.host
        infos = await self._loop.getaddrinfo(host, self.settings.port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"{host} has no address")
        for family, _, _, _, address in infos:
            try:
                made = await self._try_address(family, address)
            except OSError as error:
                failure = error
                continue
            # send at once, and notice in the end that the other side is gone
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return made
        raise failure

    async def _try_address(self, family: int, address: Any) -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)  # noqa: FBT003  (the standard library's own)
            await self._loop.sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    async def _start_tls(self, made: socket.socket) -> TlsSession | None:
        if self.settings.tls is None:
            return None
        tls = TlsSession(client_context(self.settings.tls), self.settings.host)
        is_done, to_send = tls.handshake()
        while to_send or not is_done:
            await self._loop.sock_sendall(made, to_send)
            if is_done:
                break
            received = await self._loop.sock_recv(made, READ_BYTES)
            if not received:
                raise RedisConnectionError("the server closed the connection in the TLS handshake")
            try:
                is_done, to_send = tls.handshake(received)
            except OSError:
                # the server's log says why only if it is told
                with suppress(OSError):
                    await self._loop.sock_sendall(made, tls.alert())
                raise
        return tls

    async def _shake_hands(self) -> None:
        """Authenticate, select the database, and say who we are."""
        try:
            await self._introduce()
        except (RedisError, OSError) as error:
            # the frames where it was raised have the password among their variables, and what
            # prints tracebacks for an application may show those
            raise error.with_traceback(None)  # noqa: B904  (it is the same error)

    async def _introduce(self) -> None:
        required, optional = self.settings.handshake(), self.settings.library_info()
        if required or optional:
            buffers = encode_batched([*required, *optional])
            await self.send_packed_command(buffers, check_health=False)
        for _ in required:
            await self.read_response()
        for _ in optional:
            with suppress(ResponseError):
                await self.read_response()

    async def disconnect(self, *, nowait: bool) -> None:  # noqa: ARG002  (nothing to wait for)
        """Close the socket; whoever waits for a reply finds the connection lost."""
        closed, self._socket = self._socket, None
        if closed is not None:
            # a loop that was closed has forgotten its readers
            with suppress(RuntimeError):
                self._loop.remove_reader(closed)
            closed.close()
            self._error = self._error or RedisConnectionError("the connection was closed")
            if self._waiter is not None:
                _resolve(self._waiter, True)  # noqa: FBT003

    async def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:  # noqa: ARG002
        """Send buffers; raise where the server has closed the connection meanwhile.

        It does not connect again: the link has to know, as whatever closed this connection may
        have left those of its subscriptions, to a server that is not the one to ask any more.
        """
        if self._error is not None:
            raise self._error
        here: Any = self._socket
        tls = self._tls
        for buffer in command:
            data = buffer if tls is None else tls.encrypt(buffer)
            try:
                sent = here.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                async with asyncio.timeout(self._timeout):
                    await self._loop.sock_sendall(here, memoryview(data)[sent:])

    async def read_response(self, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109  (as redis-py has it)
        """Return the next reply; raise an error reply.

        With a `timeout` in seconds, return None if the reply takes longer; without, raise
        `TimeoutError` after the settings' timeout.
        """
        while (reply := self._reader.gets()) is INCOMPLETE:
            if self._error is not None:
                raise self._error
            if await self._more(self._timeout if timeout is None else timeout):
                continue
            if timeout is None:
                raise TimeoutError("the reply did not arrive in time")
            return None
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def deliver(self, call: Callable[[Reply], bool], seconds: float) -> None:
        """Call with each reply until it returns False, or none came in so many seconds.

        A reply is passed on where it is read, without a turn of the loop in between: a worker that
        is woken has its next claim on the way by then.
        """
        self._deliver, self._heard_at = call, self._loop.time()
        self._pass_on()
        try:
            while self._deliver is not None:
                if self._error is not None:
                    raise self._error
                rest = self._heard_at + seconds - self._loop.time()
                if rest <= 0:
                    return
                await self._more(rest)
        finally:
            self._deliver = None

    def _pass_on(self) -> None:
        """Pass on the replies that have arrived, to whom they are delivered."""
        try:
            while self._deliver is not None and (reply := self._reader.gets()) is not INCOMPLETE:
                if isinstance(reply, Exception):
                    raise reply  # noqa: TRY301  (as the callback may raise)
                self._heard_at = self._loop.time()
                if not self._deliver(reply):
                    self._deliver = None
        except Exception as error:  # noqa: BLE001  (raised by `deliver`)
            self._fail(error)

    async def _more(self, seconds: float) -> bool:
        """Wait until bytes or an error have arrived; return False after so many seconds."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        alarm = self._loop.call_later(seconds, _resolve, waiter, False)  # noqa: FBT003
        try:
            return await waiter
        finally:
            alarm.cancel()
            self._waiter = None

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        try:
            received = self._socket.recv(READ_BYTES)
            if received and self._tls is not None:
                self._reader.feed(self._tls.decrypt(received))
            elif received:
                self._reader.feed(received)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
        else:
            if not received:
                self._fail(RedisConnectionError("the server closed the connection"))
        self._pass_on()
        # who has replies delivered is woken at their end alone
        if self._waiter is not None and (self._deliver is None or self._error is not None):
            _resolve(self._waiter, True)  # noqa: FBT003

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self._socket is not None:
            self._loop.remove_reader(self._socket)


def _resolve(waiter: asyncio.Future[bool], has_more: bool) -> None:  # noqa: FBT001
    if not waiter.done():
        waiter.set_result(has_more)
