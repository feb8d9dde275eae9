"""Serve metrics over HTTP from threads of their own, while a block lasts."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from qcore.domain.errors import InvalidOption
from qcore.entrypoints.metrics.collector import SampleCollector, Source, registry_of
from qcore.log.logger import get_logger

CONNECTION_TIMEOUT: Final = 10.0
"""Seconds for which a connection may be silent."""


@contextmanager
def serving_metrics(
    sources: Sequence[Source], host: str, port: int | None
) -> Generator[None, None, None]:
    """Serve what sources say while the block lasts, and log where; not where there is no port.

    Any path is answered. Raises `InvalidOption` if the port cannot be listened on.
    """
    if port is None:
        yield
        return
    registry = registry_of(SampleCollector(sources))
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidOption(f"cannot listen on {host}:{port} for metrics: {reason}") from None
    made: Any = server
    made.RequestHandlerClass = type(
        "Handler", (made.RequestHandlerClass,), {"timeout": CONNECTION_TIMEOUT}
    )
    get_logger().info("metrics are served", host=host, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
