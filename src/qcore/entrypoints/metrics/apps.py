"""Metrics as a route of an ASGI or a WSGI application."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.metrics.collector import MetricsCollector, registry_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


def metrics_app(q: Qcore) -> AsgiApp:
    """Return an ASGI application that tells a queue's metrics: `app.mount("/metrics", …)`.

    See `MetricsCollector` for what it tells. The store is asked in a thread. Who may ask is up to
    the application in which it is mounted. Raises `InvalidOption` without prometheus-client.
    """
    registry = registry_of(MetricsCollector(q))
    from prometheus_client.exposition import choose_encoder

    async def app(
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Message]],  # noqa: ARG001  (the request has no body)
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"metrics are asked for by HTTP, not by {scope['type']}")
        status, headers, body = 405, [(b"allow", b"GET, HEAD")], b""
        if scope["method"] in {"GET", "HEAD"}:
            encode, content_type = choose_encoder(_accept(scope))
            body = await asyncio.to_thread(encode, registry)
            status, headers = 200, [(b"content-type", content_type.encode())]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    return app


def metrics_wsgi_app(q: Qcore) -> "WSGIApplication":
    """Return a WSGI application that tells a queue's metrics; see `metrics_app`."""
    registry = registry_of(MetricsCollector(q))
    from prometheus_client import exposition

    return cast("WSGIApplication", cast("Any", exposition).make_wsgi_app(registry))


def _accept(scope: Mapping[str, Any]) -> str:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"]
    return ",".join(found)
