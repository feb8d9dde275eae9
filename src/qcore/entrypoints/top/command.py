"""`qcore top`: the command."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec

import click

from qcore.entrypoints.cli.asking import Store, app_option, ask, json_option, url_option
from qcore.entrypoints.cli.errors import Unwell
from qcore.entrypoints.cli.output import print_json, print_lines
from qcore.entrypoints.top.snapshot import Snapshot, snapshot

MISSING = "qcore top needs textual: pip install 'qcore-queue[top]'"


@click.command()
@url_option
@app_option
@click.option(
    "--allow-changes",
    is_flag=True,
    help="Let keys pause queues, and run, cancel, archive and delete tasks; each asks first.",
)
@json_option
def top(url: str | None, app: str | None, *, allow_changes: bool, as_json: bool) -> None:
    """Watch queues, workers, running tasks, rates and errors, in the terminal.

    `?` shows the keys. Without --allow-changes nothing in the store can be changed. In a pipe, and
    with --json, it prints how all stands now, once.
    """
    if as_json or not _has_screen():
        _print(ask(url, snapshot, app=app), as_json=as_json)
        return
    if find_spec("textual") is None:
        raise Unwell(MISSING)
    ask(url, lambda store: _show(store, is_read_only=not allow_changes), app=app)


def _has_screen() -> bool:
    """Return whether there is a terminal that can be drawn on."""
    # textual reads from the first and draws on the last of them
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(each.isatty() for each in streams) and os.environ.get("TERM") != "dumb"


def _print(found: Snapshot, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_record())
    else:
        print_lines("\t".join(cells) for cells in found.lines())


async def _show(store: Store, *, is_read_only: bool) -> None:
    # a store that is not there is told before the screen is taken
    await store.client.open()
    from qcore.entrypoints.top.app import Top
    from qcore.entrypoints.top.counting import CountingBroker
    from qcore.entrypoints.top.held_logs import held_logs

    broker = CountingBroker(store.broker)
    app = Top(
        Store(store.url, broker, store.app, clock=store.clock), broker, is_read_only=is_read_only
    )
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGHUP):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, app.exit)
    with held_logs():
        await app.run_async(mouse=False)
    if app.failure is not None:
        raise app.failure
