"""`qcore scheduler module:q`: make the tasks of periodic entries, and run none."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import click

from qcore.app.worker.periodic.alone import Scheduler
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.entrypoints.cli.application import (
    application_options,
    close,
    loaded,
    log_level_option,
)
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.settings import ConfiguredCommand
from qcore.entrypoints.early_stop import leave_if_asked, stop_signals
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from qcore.log.logger import get_logger


@click.command(cls=ConfiguredCommand)
@application_options
@log_level_option
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
        await close(q)
