"""What commands have in common that import an application: its options, and its `Qcore`."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.hosted import hosted_queue
from qcore.entrypoints.cli.loading import EXPECTED, import_beside, load
from qcore.entrypoints.cli.setting_types import Text, Url
from qcore.entrypoints.cli.settings import source_of
from qcore.entrypoints.connect import URL_VARIABLE
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.logs import LEVELS

C = TypeVar("C", bound=Callable[..., Any] | click.Command)

CLOSE_TIMEOUT: Final = 1.0
"""Seconds to disconnect from the store."""


def application_options(command: C) -> C:
    """Add the argument MODULE:NAME, and the options --import and --url."""
    added = click.option(
        "--url",
        type=Url(),
        metavar="URL",
        help="Where tasks wait, unless Qcore(…) is given a URL. [default: sqlite:///qcore.db]",
    )(command)
    added = click.option(
        "--import",
        "imports",
        type=Text(),
        envvar="QCORE_IMPORT",
        multiple=True,
        metavar="MODULE",
        help="Import a module that declares tasks too, or several: 'app.jobs.*'. May be repeated.",
    )(added)
    return click.argument(
        "app", type=Text(), metavar="MODULE:NAME", required=False, envvar="QCORE_APP"
    )(added)


def log_level_option(command: C) -> C:
    """Add the option --log-level."""
    return click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        show_default=True,
        help="Of the log, unless the module has configured logging or structlog itself.",
    )(command)


def loaded(ctx: click.Context, app: str | None, imports: Sequence[str], url: str | None) -> Qcore:
    """Return the application's Qcore, on the store of a flag if there is one."""
    hosted = hosted_queue()
    if hosted is not None:
        return _loaded_beside(hosted, ctx, imports)
    if app is None:
        raise Wrong(f"no application is named: {EXPECTED}, or QCORE_APP, or app in [tool.qcore]")
    is_flag = ctx.get_parameter_source("url") is ParameterSource.COMMANDLINE
    if url is not None and is_flag:
        # child processes import the application too
        os.environ[URL_VARIABLE] = url
    q = load(app, imports, source=_source_of_imports(ctx))
    if is_flag and q.has_own_store:
        raise Wrong(f"{app} says itself where its tasks wait, {q.store}: leave out one, or --url")
    return q


def _loaded_beside(hosted: Qcore, ctx: click.Context, imports: Sequence[str]) -> Qcore:
    """Return the queue of the command line that these commands are a part of."""
    for name, shown in (("app", "MODULE:NAME"), ("url", "--url")):
        # a variable or the project file may be there for other commands
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise Wrong(
                f"{shown} is given, and this command line has a queue of its own, {hosted.store}: "
                f"leave out {shown}"
            )
    import_beside(imports, source=_source_of_imports(ctx))
    return hosted


def _source_of_imports(ctx: click.Context) -> str:
    named = next(each for each in ctx.command.params if each.name == "imports")
    return source_of(ctx, named)


async def close(q: Qcore) -> None:
    """Disconnect from the store; who holds a lock is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await q.close()
