"""An application with one task, for a worker with nothing to do. QCORE_URL says where."""

from qcore import Context, Qcore

q = Qcore()


@q.task("bench:noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""
