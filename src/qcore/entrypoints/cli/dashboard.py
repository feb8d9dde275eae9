"""`qcore dashboard`: pages in a browser that show what waits, runs and fails, and move it.

What makes the pages is imported late: it needs the extra `dashboard`, and the help does not.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Final

import click

from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.cli.application import (
    application_options,
    close,
    loaded,
    log_level_option,
)
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.hosted import hosted_queue
from qcore.entrypoints.cli.settings import ConfiguredCommand
from qcore.entrypoints.connect import url_of_environment
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.log.logger import get_logger
from qcore.ports import Broker

if TYPE_CHECKING:
    from qcore.entrypoints.dashboard.settings import Settings

NEEDED: Final = ("starlette", "jinja2", "uvicorn")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
TOKEN_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=ConfiguredCommand)
@application_options
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    allow_from_autoenv=False,
    help="0 for any that is free, which the log names.",
)
@click.option(
    "--host",
    default=DEFAULT_HOST,
    show_default=True,
    metavar="ADDRESS",
    allow_from_autoenv=False,
    help="Beyond this machine it needs a token, or --no-login.",
)
@click.option(
    "--token-file",
    type=TOKEN_FILE,
    metavar="FILE",
    allow_from_autoenv=False,
    help="Let in whoever has the token in its first line, with all rights.",
)
@click.option(
    "--read-only-token-file",
    type=TOKEN_FILE,
    metavar="FILE",
    allow_from_autoenv=False,
    help="Let in whoever has the token in its first line, to look only.",
)
@click.option(
    "--no-login",
    is_flag=True,
    allow_from_autoenv=False,
    help="Let in everybody: a proxy in front of it sees to who that is.",
)
@click.option(
    "--public-origin",
    "public_origins",
    multiple=True,
    metavar="URL",
    allow_from_autoenv=False,
    help="Where browsers find it behind a proxy: https://ops.example.com. May be repeated.",
)
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="PATTERN",
    allow_from_autoenv=False,
    help="Hide values under such a name, too: '*iban*'. May be repeated.",
)
@click.option(
    "--environment",
    metavar="NAME",
    allow_from_autoenv=False,
    help="A badge on each page, such as production.",
)
@click.option(
    "--colour",
    metavar="NAME",
    allow_from_autoenv=False,
    help="Of the badge: grey, green, blue, amber, red or purple. [default: by its name]",
)
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    allow_from_autoenv=False,
    help="Of the moments on pages, such as Europe/Berlin.",
)
@click.option(
    "--look",
    type=int,
    default=2_000,
    show_default=True,
    metavar="N",
    allow_from_autoenv=False,
    help="Look at so many tasks, at most, for a page of what a query finds.",
)
@log_level_option
@click.pass_context
def dashboard(
    ctx: click.Context,
    /,
    app: str | None,
    imports: Sequence[str],
    url: str | None,
    *,
    port: int,
    host: str,
    token_file: Path | None,
    read_only_token_file: Path | None,
    public_origins: Sequence[str],
    masks: Sequence[str],
    environment: str | None,
    colour: str | None,
    zone: str,
    look: int,
    log_level: str,
    no_login: bool,
) -> None:
    """Serve pages that show what waits, runs and fails in a store, and move it.

    With MODULE:NAME those of an application, whose serializer also reads sealed arguments; without
    it those of a store. SIGTERM, SIGINT and SIGHUP end it.
    """
    configure(log_level)
    _refuse_without_extra()
    from qcore.entrypoints.dashboard.masking import DEFAULT_MASK
    from qcore.entrypoints.dashboard.origin import is_loopback
    from qcore.entrypoints.dashboard.serve import listen
    from qcore.entrypoints.dashboard.settings import settings_of

    if not (is_loopback(host) or token_file or read_only_token_file or no_login):
        raise Wrong(
            f"--host {host} is not this machine alone, and nobody would have to log in: expected "
            "--token-file, or --no-login behind a proxy that sees to who comes in"
        )
    try:
        settings = settings_of(
            token=_token(token_file),
            read_only_token=_token(read_only_token_file),
            is_open=no_login,
            environment=environment,
            colour=colour,
            zone=zone,
            public_origins=public_origins,
            look=look,
            mask=[*DEFAULT_MASK, *masks],
        )
        is_of_store = app is None and hosted_queue() is None
        q = _store(url) if is_of_store else loaded(ctx, app, imports, url)
        _make_no_file(q.broker)
        listening = listen(host, port)
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    try:
        run(_serve(q, settings, listening))
    except QcoreError as error:
        raise Unwell(str(error)) from None


def _refuse_without_extra() -> None:
    """Raise `Unwell` where what makes the pages, or serves them, is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        needed = ", ".join(missing)
        raise Unwell(f"qcore dashboard needs {needed}: pip install 'qcore-queue[dashboard]'")


async def _serve(q: Qcore, settings: "Settings", listening: socket) -> None:
    from qcore.entrypoints.dashboard.app import Dashboard
    from qcore.entrypoints.dashboard.board import Board
    from qcore.entrypoints.dashboard.serve import serve
    from qcore.entrypoints.dashboard.table import TABLE

    app = Dashboard(Board(q, settings), TABLE)
    try:
        await serve(app, listening)
    finally:
        await app.wait_closed()
        await close(q)


def _store(url: str | None) -> Qcore:
    """Return a queue without tasks on a store."""
    url = url_of_environment() if url is None else url
    q = Qcore(url)
    if url.startswith("memory:"):
        get_logger().warning(
            "a store in memory is that of its process alone: mount dashboard(q) where it is"
        )
    return q


def _make_no_file(broker: Broker) -> None:
    """See to it that to look at a file makes none; say so where there is none yet."""
    from qcore.adapters.links.sqlite import AsyncSqliteLink
    from qcore.adapters.sqlite import SqliteBroker

    if not isinstance(broker, SqliteBroker) or not isinstance(broker.link, AsyncSqliteLink):
        return
    broker.link.never_make_file()
    if broker.link.is_persistent and not Path(broker.link.path).exists():
        get_logger().warning(
            "there is no store yet: the first worker makes it, or the first task that is enqueued",
            file=broker.link.path,
        )


def _token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidOption(f"cannot read {file}: {reason}") from None
    return lines[0].strip() if lines else ""
