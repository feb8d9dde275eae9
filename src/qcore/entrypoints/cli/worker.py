"""`qcore worker module:q`: run the tasks of an application."""

import gc
import linecache
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, NoReturn, TypeVar, cast

import click

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.app.worker.pools.child_setup import prepared_children
from qcore.app.worker.settings import WorkerOptions, WorkerSettings
from qcore.app.worker.worker import Worker
from qcore.domain.errors import InvalidOption, QcoreError
from qcore.domain.events import WorkerFailed
from qcore.domain.retry import described
from qcore.entrypoints.cli.application import (
    application_options,
    close,
    loaded,
    log_level_option,
)
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.process_options import process_options, taken_from
from qcore.entrypoints.cli.setting_types import Number, Queues
from qcore.entrypoints.cli.settings import (
    ConfiguredCommand,
    misspelt_variables,
    with_source,
)
from qcore.entrypoints.early_stop import leave_if_asked
from qcore.entrypoints.exiting import leave_now, leave_within
from qcore.entrypoints.facade import Qcore
from qcore.entrypoints.logs import configure, is_terminal
from qcore.entrypoints.loop import run
from qcore.entrypoints.oversight import Oversight
from qcore.entrypoints.process_options import ProcessOptions
from qcore.entrypoints.signals import obey_signals
from qcore.entrypoints.supervisor.link import supervisor_link
from qcore.log.logger import get_logger
from qcore.ports import Capability

C = TypeVar("C", bound=Callable[..., Any] | click.Command)

_DEFAULTS: Final = WorkerSettings()
LAST_STOP: Final = 2.5
"""Seconds after a second stop within which the process is gone, whatever user code does: longer
than a worker takes to give its tasks back and to cancel its lifespans.
"""


def _option(name: str, kind: type[int] | type[float], meta: str, text: str) -> Callable[[C], C]:
    """Return the option for a field of `WorkerSettings`, with its default."""
    default = getattr(_DEFAULTS, name.removeprefix("--").replace("-", "_"))
    return click.option(
        name, type=Number(kind), metavar=meta, default=default, show_default=True, help=text
    )


@click.command(cls=ConfiguredCommand, is_whole=True)
@application_options
@click.option(
    "--queues",
    type=Queues(),
    metavar="NAME=WEIGHT,…",
    help="Queues to serve, by weight: critical=6,default=3,low=1, or plain names. "
    "[default: default, and every queue that a task names]",
)
@click.option(
    "--strict", is_flag=True, help="Serve a queue only when those written before it are empty."
)
@_option("--concurrency", int, "N", "Tasks in hand at a time.")
@_option("--threads", int, "N", "Of them, plain functions in threads.")
@_option("--process-pool", int, "N", "Of them, functions with process=True in child processes.")
@_option("--lease", float, "SECONDS", "How long the tasks of a lost worker are waited for.")
@_option("--grace", float, "SECONDS", "How long tasks may go on when the worker is to stop.")
@click.option(
    "--scheduler/--no-scheduler",
    default=True,
    show_default=True,
    help="Make the tasks of periodic entries when they tick.",
)
@click.option("--burst", is_flag=True, help="Leave when there is nothing to do.")
@click.option(
    "--max-tasks",
    type=Number(int),
    metavar="N",
    help="Leave after so many runs; below a supervisor, be replaced.",
)
@click.option(
    "--app-version",
    metavar="TEXT",
    help="The application's version, such as a tag or a commit, to be kept with each error.",
)
@process_options
@log_level_option
@click.pass_context
def worker(
    ctx: click.Context,
    /,
    app: str | None,
    imports: Sequence[str],
    url: str | None,
    log_level: str,
    **settings: object,
) -> None:
    """Run the tasks of the Qcore that MODULE:NAME names, such as myapp.tasks:q.

    Each option is a setting, too: of [tool.qcore] in pyproject.toml, or a variable, such as
    QCORE_CONCURRENCY; a flag comes before a variable, and that before the file. `qcore config`
    shows them.

    SIGTERM, SIGINT and SIGHUP: claim no more, let what runs end within the grace, give back the
    rest, and leave; a second one leaves at once, even where a handler blocks the event loop.
    SIGTSTP and SIGUSR1: claim no more, and go on with the rest; SIGCONT: claim again. A supervisor
    passes all of them on, and replaces its workers one by one on SIGUSR2.
    """
    try:
        processes = taken_from(settings)
    except InvalidOption as error:
        raise Wrong(with_source(str(error), ctx)) from None
    link = supervisor_link()
    if processes.is_supervised and link is None:
        _supervise(processes, log_level)
    q = loaded(ctx, app, imports, url)
    logs = configure(log_level)
    if logs.structlog:
        _adapt_log(q)
    for line in misspelt_variables(ctx.command):
        get_logger().warning(line)
    oversight = Oversight(q, processes, link, at_once=_leave_soon, unheard=_leave_unheard)
    _oversee(q, processes, oversight)
    if link is not None:
        # it is replaced then, and works until it is
        settings["max_tasks"] = None
    try:
        made = q.worker(**cast("WorkerOptions", settings))
    except QcoreError as error:
        raise Wrong(with_source(str(error), ctx)) from None
    _warn_if_alone(q)
    try:
        with prepared_children(logs.configure) if logs.any else nullcontext():
            run(_work(q, made, oversight))
    except InvalidOption as error:
        # of the store's URL, such as a file that is not there
        raise Wrong(str(error)) from None
    except QcoreError as error:
        raise Unwell(str(error)) from None
    except Exception as error:  # noqa: BLE001  (a lifespan's, or a bug of ours)
        traceback.print_exception(error)
        raise Unwell(f"the worker failed: {described(error)}") from None


def _oversee(q: Qcore, processes: ProcessOptions, oversight: Oversight) -> None:
    if processes.is_measured:
        # who is not measured need not wait for it
        from qcore.entrypoints.metrics.collector import count

        count(q)
    q.instruments = (*q.instruments, oversight)


def _supervise(processes: ProcessOptions, log_level: str) -> NoReturn:
    # a worker alone needs none
    from qcore.entrypoints.supervisor.run import supervise

    configure(log_level)
    try:
        status = supervise(processes)
    except InvalidOption as error:
        raise Wrong(str(error)) from None
    raise SystemExit(status)


async def _work(q: Qcore, made: Worker, oversight: Oversight) -> None:
    # what was imported stays: the collector need not go through it again and again
    gc.collect()
    gc.freeze()
    # the sources of generated methods, as of attrs and dataclasses
    linecache.clearcache()
    with obey_signals(made, unheard=partial(_leave_unheard, made), at_once=_leave_soon):
        try:
            async with oversight.over(made):
                leave_if_asked()
                await made.run()
        finally:
            # the worker has written all that it had
            await close(q)


def _leave_soon() -> None:
    leave_within(LAST_STOP, 0)


def _leave_unheard(worker: Worker) -> None:
    """Leave though the event loop does not turn. Called in a thread of its own."""
    if worker.running:
        leave_now(
            1,
            "worker left without giving back its tasks: a handler blocks the event loop; they run "
            "again when their leases are over",
        )
    leave_now(0, "worker left while a lifespan or a hook blocks the event loop")


def _adapt_log(q: Qcore) -> None:
    """Keep out of the log why a worker failed, as this command says so itself; show successes.

    Those are shown where somebody reads along, who wants to see that something happens.
    """
    for each in q.instruments:
        if isinstance(each, LoggingInstrument):
            each.ignore(WorkerFailed)
            if is_terminal():
                each.successes = "info"


def _warn_if_alone(q: Qcore) -> None:
    if Capability.SHARED not in q.broker.capabilities:
        get_logger().warning(
            "no other process can enqueue into this worker: its broker keeps tasks in this process "
            "alone; set QCORE_URL, or give Qcore a url, such as sqlite:///qcore.db",
            broker=type(q.broker).__name__,
        )
