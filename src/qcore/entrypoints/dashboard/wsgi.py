"""The dashboard for applications that block, such as those of Flask and Django.

a2wsgi runs it on an event loop in a thread. That thread begins with the first request of a process:
one begun before a server forks its workers would be in none of them.
"""

import asyncio
import atexit
import os
from collections.abc import Callable, Iterable
from threading import Lock, Thread
from typing import Any, Final, TypeAlias, Unpack, cast

from qcore.entrypoints.dashboard import Options, dashboard
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.facade import Qcore

Environ: TypeAlias = dict[str, Any]
Start: TypeAlias = Callable[..., Any]
NO_STORE: Final = "no-store"
READ_AS_UTF8: Final = ("SCRIPT_NAME", "PATH_INFO")


class LoopThread:
    """An event loop in a thread of its own, with the adapter that uses it."""

    def __init__(self, app: Dashboard) -> None:
        from a2wsgi import ASGIMiddleware

        self.process = os.getpid()
        self._app = app
        self._loop = asyncio.new_event_loop()
        self.answer: Any = ASGIMiddleware(cast("Any", app), loop=self._loop)
        self._thread = Thread(target=self._run, name="qcore-dashboard", daemon=True)
        self._thread.start()
        # a server that blocks tells nobody that it ends
        atexit.register(self.close)

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
        return cast("Iterable[bytes]", self._of_this_process().answer(environ, start))

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
            str(environ.get(name, "")).encode("latin-1").decode()
        str(environ.get("QUERY_STRING", "")).encode("ascii")
        int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return False
    return True
