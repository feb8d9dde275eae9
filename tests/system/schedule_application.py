"""An application with one periodic task, for schedulers that are processes."""

from datetime import timedelta

from qcore import Context, Qcore

q = Qcore()

INTERVAL = 0.5
"""Seconds: a hundred ticks are made up for, if all schedulers are slow to start."""


@q.every(timedelta(seconds=INTERVAL), missed="all")
@q.task("report")
async def report(ctx: Context) -> None:
    """Never run: no worker serves it."""
