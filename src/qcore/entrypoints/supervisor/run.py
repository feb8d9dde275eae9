"""Run a supervisor as the process that it is: with its signals, its health and its notifier."""

import asyncio
import signal
import sys
from contextlib import ExitStack
from functools import partial
from math import inf
from pathlib import Path
from random import SystemRandom
from typing import Final

from qcore.entrypoints.early_stop import leave_if_asked
from qcore.entrypoints.exiting import leave_now
from qcore.entrypoints.health.server import answering
from qcore.entrypoints.metrics.collector import check_client_installed
from qcore.entrypoints.metrics.push import pushing_metrics
from qcore.entrypoints.metrics.server import serving_metrics
from qcore.entrypoints.process_options import ProcessOptions
from qcore.entrypoints.signals import obey_signals
from qcore.entrypoints.supervisor.code_changes import check_installed, watch_code
from qcore.entrypoints.supervisor.fleet import Fleet
from qcore.entrypoints.supervisor.supervisor import Supervisor
from qcore.entrypoints.systemd import ServiceNotifier

RENEWING: Final = "SIGUSR2"


def supervise(options: ProcessOptions) -> int:
    """Run this very command as so many workers until all have ended; return the exit status.

    Raises `InvalidOption` where a port cannot be listened on, or where changes of the code
    are to be watched and what does that is not installed.
    """
    if options.reload:
        check_installed()
    return asyncio.run(_supervise(options))


async def _supervise(options: ProcessOptions) -> int:
    fleet = Fleet(
        options.workers or 1,
        SystemRandom().random,
        leave_timeout=options.leave_timeout,
        hang_timeout=options.hang_timeout or inf,
        is_burst=options.burst,
        awaits_change=options.reload,
    )
    # the interpreter's own options, too
    command = [sys.executable, *sys.orig_argv[1:]]
    supervisor = Supervisor(fleet, command, ServiceNotifier.from_environment())
    with ExitStack() as stack:
        stack.enter_context(obey_signals(supervisor, unheard=_leave_unheard))
        leave_if_asked()
        stack.enter_context(answering(supervisor.signs, options.health_host, options.health_port))
        if options.is_measured:
            check_client_installed()
            sources = supervisor.metrics.sources()
            port, url = options.metrics_port, options.metrics_push
            stack.enter_context(serving_metrics(sources, options.metrics_host, port))
            stack.enter_context(pushing_metrics(sources, url))
        loop, renew = asyncio.get_running_loop(), partial(supervisor.renew, RENEWING)
        loop.add_signal_handler(getattr(signal, RENEWING), renew)
        if options.reload:
            watching = asyncio.create_task(watch_code(Path.cwd(), supervisor.renew))
            stack.callback(watching.cancel)
        return await supervisor.run()


def _leave_unheard() -> None:
    """Leave though the event loop does not turn, as where the log takes no more lines."""
    leave_now(1, "supervisor left without its workers: they stop within their grace")
