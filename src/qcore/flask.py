"""Flask: an application context around each handler, and the commands of qcore as `flask qcore`.

Needs the extra `flask`: pip install 'qcore-queue[flask]'.
"""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, cast

import click
from flask import Flask
from flask.cli import ScriptInfo
from flask.ctx import AppContext

from qcore.app.tasks.context import Context
from qcore.app.tasks.process_function import running_module
from qcore.domain.errors import InvalidOption
from qcore.entrypoints.cli.hosted_group import HostedGroup
from qcore.entrypoints.facade import Qcore

__all__ = ["FlaskQcore"]

URL: Final = "QCORE_URL"
"""Of the configuration of an application: where its tasks wait."""
EXTENSION: Final = "qcore"


class FlaskQcore:
    """The extension that has the handlers of a queue run in contexts of an application.

    Made where the queue is, before its other arounds, which are inside of the context then. Each
    run has an application context of its own, in the very thread, process or coroutine of the
    handler, and the application's teardown functions are called when it ends.
    """

    def __init__(self, q: Qcore, app: Flask | None = None) -> None:
        self.q = q
        self._is_later = not q.is_configured
        self._app: Flask | None = None
        q.lifespan(self._check_app)
        q.around(self.app_context)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Run the handlers in contexts of an application from now on; add `flask qcore` to it.

        A queue made by `Qcore.later` is configured with QCORE_URL of the application's
        configuration, else, unless it is already, with that of the environment. A queue has one
        application at a time, the last that this was called with, as where each test makes one.
        Raises `InvalidOption` where the application has another queue, or the queue a store of its
        own beside QCORE_URL, or as `Qcore.configure` does.
        """
        other = app.extensions.setdefault(EXTENSION, self)
        if other is not self:
            raise InvalidOption(
                f"{app!r} has a queue already: expected one FlaskQcore for an application"
            )
        config = cast("Mapping[str, Any]", app.config)
        self._configure(config.get(URL))
        self._app = app
        # a child process imports the module that makes the application, too
        self.q.node.configured_in = running_module() or self.q.node.configured_in
        app.cli.add_command(HostedGroup(self._handed_over))

    @property
    def app(self) -> Flask:
        """Return the application; raise `InvalidOption` where there is none yet."""
        if self._app is None:
            raise InvalidOption(
                "there is no application for handlers to run in: call init_app(app), and have the "
                "worker make the application: flask --app shop qcore worker"
            )
        return self._app

    def app_context(self, _: Context) -> AppContext:
        """Return a context of the application for a run: the around of all handlers."""
        return self.app.app_context()

    def _configure(self, url: str | None) -> None:
        if url is not None and not self._is_later:
            raise InvalidOption(
                f"{URL} is in the configuration of the application, and the queue has a store "
                f"already, {self.q.store}: make it by Qcore.later(), or leave out {URL}"
            )
        if url is not None or not self.q.is_configured:
            self.q.configure(url, again=True)

    async def _check_app(self) -> AsyncIterator[None]:
        """End a worker at its start that has no application, rather than fail each of its tasks."""
        _ = self.app
        yield

    def _handed_over(self) -> Qcore:
        """Return the queue, for a command; have its child processes load the application, too."""
        self.q.node.configured_in = f"{__name__}:{load_app.__name__}"
        info = click.get_current_context().find_object(ScriptInfo)
        if info is not None and info.app_import_path:
            os.environ["FLASK_APP"] = info.app_import_path
        return self.q


def load_app() -> Flask:
    """Return the application that FLASK_APP names, else that of wsgi.py or app.py, as `flask` does.

    A child process of a worker makes its application so. Raises `InvalidOption` where there is
    none.
    """
    named = os.environ.get("FLASK_APP")
    try:
        return ScriptInfo(named).load_app()
    except click.UsageError as error:
        raise InvalidOption(
            f"a child process finds no application, and FLASK_APP is {named!r}: start the worker "
            f"by flask --app … qcore worker, or set FLASK_APP ({error.message})"
        ) from error
