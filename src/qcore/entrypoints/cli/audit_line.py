"""The line on standard error about a command that no task keeps in its audit trail."""

import click

from qcore.domain.events import Operated
from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.written_times import timestamp


def print_operated(event: Operated) -> None:
    """Print when who has changed a queue or a periodic task, and why, for a log to keep.

    Of what moves tasks nothing is printed: each of them has it in its audit trail.
    """
    if not event.tasks:
        click.echo(cell(_line(event)), err=True)


def _line(event: Operated) -> str:
    where = f"queue {event.queue!r}"
    about = where if event.entry is None else f"{event.entry!r} of {where}"
    detail = f", {event.detail}" if event.detail else ""
    reason = f": {event.reason}" if event.reason else ""
    return f"{timestamp(event.at)} {event.action}: {about}{detail}, by {event.by}{reason}"
