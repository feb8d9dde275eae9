"""Answer `/live` and `/ready` over HTTP, from a thread that no handler can block.

h11 parses what comes in; each connection gets one answer, and has a limit of bytes and of time.
"""

import asyncio
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import h11

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.health.vital_signs import VitalSigns
from qcore.log.logger import get_logger

MAX_HEADERS: Final = 8_192
"""Bytes of a request's first line and headers."""
READ_SIZE: Final = 4_096
CONNECTION_TIMEOUT: Final = 3.0
"""Seconds for a request to arrive and for its answer to be taken."""
MAX_CONNECTIONS: Final = 64
"""Open at a time. One more closes the oldest: a probe takes milliseconds, so that is a slow one."""
TEXT: Final = "text/plain; charset=utf-8"


class HealthServer:
    """Serve the health of this process while a block lasts: `with HealthServer(…) as server:`.

    Raises `InvalidOption` if the port cannot be listened on.
    """

    def __init__(self, signs: VitalSigns, host: str, port: int) -> None:
        self._signs = signs
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._connections: dict[asyncio.Task[None], None] = {}
        """The oldest first."""
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="qcore-health", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the thread, and wait for it."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._accept, sock=self._socket, limit=READ_SIZE):
            await self._stopping.wait()
            for connection in list(self._connections):
                connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (connection := asyncio.current_task()) is None:
            raise AssertionError("asyncio runs this in a task")
        if len(self._connections) >= MAX_CONNECTIONS:
            next(iter(self._connections)).cancel()
        self._connections[connection] = None
        try:
            async with asyncio.timeout(CONNECTION_TIMEOUT):
                await self._answer(reader, writer)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            # the client is gone, or too slow
            pass
        finally:
            del self._connections[connection]
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        try:
            request = await _request(connection, reader)
        except h11.RemoteProtocolError as error:
            response = _response(error.error_status_hint, "expected an HTTP request")
        else:
            if request is None:
                return
            response = _response(*self._told(request), has_body=request.method != b"HEAD")
        for event in response:
            writer.write(connection.send(event) or b"")
        await writer.drain()

    def _told(self, request: h11.Request) -> tuple[int, str]:
        """Return a status and a line."""
        path = request.target.partition(b"?")[0]
        asked = {b"/live": self._signs.live, b"/ready": self._signs.ready}.get(path)
        if asked is None:
            return 404, "expected /live or /ready"
        if request.method not in {b"GET", b"HEAD"}:
            return 405, "expected GET or HEAD"
        health = asked()
        return (200 if health.is_well else 503), health.text


@contextmanager
def answering(signs: VitalSigns, host: str, port: int | None) -> Generator[None, None, None]:
    """Serve health while the block lasts, and say where; not where there is no port for it.

    Raises `InvalidOption` if the port cannot be listened on.
    """
    if port is None:
        yield
        return
    with HealthServer(signs, host, port) as server:
        get_logger().info("health is served", host=host, port=server.port)
        yield


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Return the request that arrives, without its body; None if the client leaves instead."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await reader.read(READ_SIZE))


def _response(status: int, line: str, *, has_body: bool = True) -> Sequence[h11.Event]:
    body = f"{line}\n".encode("utf-8", "replace")
    headers = [("Content-Type", TEXT), ("Content-Length", str(len(body))), ("Connection", "close")]
    head = h11.Response(status_code=status, headers=headers)
    return [head, h11.Data(data=body)] if has_body else [head]


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise `InvalidOption` where none can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidOption(
            f"cannot listen on {host}:{port} for questions about health: {reason}"
        ) from None
