"""The dashboard for applications that block, such as those of Flask and Django.

Its pages are made on an event loop in a thread, which begins with the first request of a process:
one begun before a server forks its workers would be in none of them. Each answer is taken as a
whole, as there are no streams here, and then handed to the server: a browser that goes away
meanwhile leaves nothing that waits.
"""

import asyncio
import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from threading import Lock, Thread
from typing import Any, Final, TypeAlias, Unpack

from qcore.domain.record import record
from qcore.entrypoints.dashboard import Options, dashboard
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.dashboard.inputs import MAX_BODY
from qcore.entrypoints.facade import Qcore

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
NO_STORE: Final = "no-store"
READ_AS_UTF8: Final = ("SCRIPT_NAME", "PATH_INFO")
HEADER: Final = "HTTP_"
BARE_HEADERS: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")
"""Headers of a request whose names in an environment begin otherwise."""


@record
class Answer:
    """A whole answer, as WSGI takes it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class LoopThread:
    """An event loop in a thread of its own, on which a dashboard answers."""

    def __init__(self, app: Dashboard) -> None:
        self.process = os.getpid()
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="qcore-dashboard", daemon=True)
        self._thread.start()
        # a server that blocks tells nobody that it ends
        atexit.register(self.close)

    def answer(self, environ: Environ) -> Answer:
        """Return the answer to a request; raise what the dashboard raises, which is a fault."""
        asked = _answered(self._app, _scope_of(environ), _body_of(environ))
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    def close(self) -> None:
        """End what lasts, such as moves of many, and the thread; wait for it."""
        atexit.unregister(self.close)
        if self.process != os.getpid():
            # forked since: the thread is not here
            return
        asyncio.run_coroutine_threadsafe(self._app.wait_closed(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()


class WsgiDashboard:
    """A dashboard as a WSGI application."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._lock = Lock()
        self._thread: LoopThread | None = None

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request."""
        if not _is_readable(environ):
            start("400 Bad Request", [("content-type", "text/plain"), ("cache-control", NO_STORE)])
            return [b"the URL cannot be read: expected UTF-8, percent-encoded\n"]
        answer = self._of_this_process().answer(environ)
        start(answer.status, answer.headers)
        return [answer.body]

    def close(self) -> None:
        """End the thread, as a test does; a process that ends need not."""
        with self._lock:
            if self._thread is not None and self._thread.process == os.getpid():
                self._thread.close()
            self._thread = None

    def _of_this_process(self) -> LoopThread:
        with self._lock:
            if self._thread is None or self._thread.process != os.getpid():
                self._thread = LoopThread(self._app)
            return self._thread


def wsgi_dashboard(q: Qcore, **options: Unpack[Options]) -> WsgiDashboard:
    """Return a WSGI application with the pages of `dashboard`, which takes the same options.

    In Flask, with `DispatcherMiddleware` of Werkzeug:
    `app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/queues": wsgi_dashboard(q)})`. The request
    that `access` is called with has the `environ` of WSGI in `request.scope["wsgi_environ"]`.
    """
    return WsgiDashboard(dashboard(q, **options))


def _is_readable(environ: Environ) -> bool:
    try:
        for name in READ_AS_UTF8:
            _text(environ, name)
        str(environ.get("QUERY_STRING", "")).encode("ascii")
        int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return False
    return True


def _text(environ: Environ, name: str) -> str:
    """Return text that WSGI has as if its bytes were Latin-1."""
    return str(environ.get(name, "")).encode("latin-1").decode()


def _scope_of(environ: Environ) -> dict[str, Any]:
    """Return a request as ASGI has it; without a client, as WSGI tells no port of it."""
    root = _text(environ, "SCRIPT_NAME")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": str(environ.get("SERVER_PROTOCOL", "HTTP/1.0")).rpartition("/")[2],
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": root + _text(environ, "PATH_INFO"),
        "root_path": root,
        "query_string": str(environ.get("QUERY_STRING", "")).encode("ascii"),
        "headers": [*_headers(environ)],
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "extensions": {},
        "wsgi_environ": environ,
    }


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    for key, value in environ.items():
        if key in BARE_HEADERS or key.startswith(HEADER):
            name = key.removeprefix(HEADER).lower().replace("_", "-")
            yield name.encode("latin-1"), str(value).encode("latin-1")


def _body_of(environ: Environ) -> bytes:
    """Return what a request brings, or enough of it to see that it is too large."""
    length = min(max(0, int(environ.get("CONTENT_LENGTH") or 0)), MAX_BODY + 1)
    return bytes(environ["wsgi.input"].read(length)) if length else b""


async def _answered(app: Dashboard, scope: dict[str, Any], body: bytes) -> Answer:
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *parts = messages
    status = HTTPStatus(start["status"])
    headers = [(name.decode("latin-1"), text.decode("latin-1")) for name, text in start["headers"]]
    return Answer(
        f"{status.value} {status.phrase}",
        headers,
        b"".join(each.get("body", b"") for each in parts),
    )
