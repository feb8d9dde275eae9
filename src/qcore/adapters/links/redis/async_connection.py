"""A connection that awaits, with nothing between it and its socket.

redis-py's goes through streams. They cost three times as much, and under uvloop what is written
leaves when the loop has run all that is ready: a worker's next claim would leave when the tasks
of the last one have run, where it should be on its way meanwhile.
"""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ResponseError

from qcore.adapters.links.redis.connection_base import NOTHING, PIECE, Speaker, new_reader, tuned
from qcore.adapters.links.redis.resp import Reply, pieces


class NimbleConnection(Speaker):
    """Speak to a server on the loop it was connected on."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._waiter: asyncio.Future[bool] | None = None
        self._error: Exception | None = None

    async def connect(self) -> None:
        """Connect, unless that was done and the server is still there."""
        if self._socket is not None and self._error is None:
            return
        await self.disconnect(nowait=True)
        self._loop = asyncio.get_running_loop()
        with self._connecting():
            async with asyncio.timeout(self._timeout):
                self._socket = await self._connected()
        self._error = None
        self._reader = new_reader()
        self._loop.add_reader(self._socket, self._on_readable)
        await self._greet()

    async def _connected(self) -> socket.socket:
        """Return a socket that is connected, to the first of the host's addresses that answers."""
        if self._path is not None:
            return await self._tried(socket.AF_UNIX, self._path)
        infos = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        trouble: OSError = OSError(f"{self._host} has no address")
        for family, _, _, _, address in infos:
            try:
                return tuned(await self._tried(family, address))
            except OSError as error:
                trouble = error
        raise trouble

    async def _tried(self, family: int, address: Any) -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)  # noqa: FBT003  (the standard library's own)
            await self._loop.sock_connect(made, address)
        except BaseException:
            made.close()
            raise
        return made

    async def _greet(self) -> None:
        """Say who we are, and to which database we want to speak."""
        commands = [*self._greeting, *self._courtesies]
        if commands:
            await self.send_packed_command(pieces(commands), check_health=False)
        for _ in self._greeting:
            await self.read_response()
        for _ in self._courtesies:
            # an older server knows nothing of it, and need not
            with suppress(ResponseError):
                await self.read_response()

    async def disconnect(self, *, nowait: bool) -> None:  # noqa: ARG002  (nothing to wait for)
        """Close the socket."""
        gone, self._socket = self._socket, None
        if gone is not None:
            # a loop that was closed has forgotten its readers
            with suppress(RuntimeError):
                self._loop.remove_reader(gone)
            gone.close()

    async def send_packed_command(self, command: Iterable[bytes], *, check_health: bool) -> None:  # noqa: ARG002
        """Send at once what the system takes at once, and the rest when it does."""
        if self._socket is None or self._error is not None:
            await self.connect()
        here: Any = self._socket
        for piece in command:
            try:
                sent = here.send(piece)
            except BlockingIOError:
                sent = 0
            if sent < len(piece):
                async with asyncio.timeout(self._timeout):
                    await self._loop.sock_sendall(here, memoryview(piece)[sent:])

    async def read_response(self, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109  (as redis-py has it)
        """Return the next answer; raise it if it is an error.

        With a `timeout` in seconds, return None if it takes longer.
        """
        while (reply := self._reader.gets()) is NOTHING:
            if self._error is not None:
                raise self._error
            if await self._more(self._timeout if timeout is None else timeout):
                continue
            if timeout is None:
                raise TimeoutError("Timeout reading from socket")
            return None
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _more(self, seconds: float) -> bool:
        """Wait until there is more to read, or something wrong; return whether there is."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiter = waiter
        alarm = self._loop.call_later(seconds, _let_go, waiter, False)  # noqa: FBT003
        try:
            return await waiter
        finally:
            alarm.cancel()
            self._waiter = None

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        try:
            read = self._socket.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)
        else:
            if read:
                self._reader.feed(read)
            else:
                self._fail(Disconnected("Connection closed by server."))
        if self._waiter is not None:
            _let_go(self._waiter, True)  # noqa: FBT003

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self._socket is not None:
            self._loop.remove_reader(self._socket)


def _let_go(waiter: asyncio.Future[bool], there_is_more: bool) -> None:  # noqa: FBT001
    if not waiter.done():
        waiter.set_result(there_is_more)
