"""`qcore scheduler module:q`: make the tasks of periodic entries, and run none."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import click

from qcore.app.worker.periodic.alone import Scheduler
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.setting_types import Text, Url
from qcore.entrypoints.cli.settings import ConfiguredCommand
from qcore.entrypoints.cli.worker import CLOSE_TIMEOUT, loaded
from qcore.entrypoints.early_stop import leave_if_asked, stop_signals
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.logs import LEVELS, configure
from qcore.entrypoints.loop import run
from qcore.log.logger import get_logger


@click.command(cls=ConfiguredCommand)
@click.argument("app", type=Text(), metavar="MODULE:NAME", required=False, envvar="QCORE_APP")
@click.option(
    "--import",
    "imports",
    type=Text(),
    envvar="QCORE_IMPORT",
    multiple=True,
    metavar="MODULE",
    help="Import a module that declares periodic tasks too, or several: 'app.jobs.*'.",
)
@click.option(
    "--url",
    type=Url(),
    metavar="URL",
    help="Where tasks wait, unless Qcore(…) is given a URL. [default: sqlite:///qcore.db]",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="Of the log, unless the module has configured structlog itself.",
)
@click.pass_context
def scheduler(
    ctx: click.Context,
    /,
    app: str | None,
    imports: Sequence[str],
    url: str | None,
    log_level: str,
) -> None:
    """Make the tasks of periodic entries when they tick, and run none.

    Each worker does so too, unless it has --no-scheduler. Any number may do so at a time: each tick
    is made once. SIGTERM, SIGINT and SIGHUP end it.
    """
    q = loaded(ctx, app, imports, url)
    configure(log_level)
    try:
        made = q.scheduler()
        run(_schedule(q, made))
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    except QcoreError as error:
        raise Unwell(str(error)) from None


async def _schedule(q: Qcore, made: Scheduler) -> None:
    loop = asyncio.get_running_loop()
    for number in stop_signals():
        # on Windows loops know no signals: there Ctrl-C ends the loop
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, made.stop)
    leave_if_asked()
    get_logger().info("scheduler started")
    try:
        await made.run()
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await q.close()
