"""TLS in front of a Redis that was built without it."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Self

from tests.servers.pairs import HOST
from tests.servers.ports import free_port

PIECE = 1 << 16


class TlsRelay:
    """A port that speaks TLS, asks for a client's certificate, and leads to another port.

    `folder` has a certificate, cert.pem and key.pem, that is trusted on either side. It works in a
    thread of its own, so that tests that block and tests that await can use it alike.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.port = free_port()
        self._to = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._context.load_verify_locations(folder / "cert.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"tls-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._relay, HOST, self.port, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(HOST, self._to)
        try:
            await asyncio.wait(
                [
                    asyncio.create_task(_copy(client, to_server)),
                    asyncio.create_task(_copy(server, to_client)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            to_client.close()
            to_server.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(PIECE):
            to.write(piece)
            await to.drain()
