"""Serve a dashboard on a port, until a signal ends it."""

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.early_stop import stop_signals
from qcore.log.logger import get_logger

GRACE: Final = 1
"""Seconds for pages that are being made when a signal comes."""
BACKLOG: Final = 128


class Server(uvicorn.Server):
    """A server that a signal ends with status 0: uvicorn's own raises the signal again."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop at a signal, and at a second one at once."""
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            # on Windows loops know no signals: there Ctrl-C ends the loop
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._stop)
        yield
        for number in stop_signals():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._on_stop is not None:
            self._on_stop()


async def serve(app: Dashboard, listening: socket.socket) -> None:
    """Serve a dashboard on a socket that listens, until a signal comes."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )
    get_logger().info("the dashboard is served", url=url_of(listening))
    await Server(config, app.close).serve(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise `InvalidOption` where none can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidOption(f"cannot listen on {host}:{port}: {reason}") from None


def url_of(listening: socket.socket) -> str:
    """Return where a browser finds what is served on a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
