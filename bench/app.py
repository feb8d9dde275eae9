"""An application for worker processes. QCORE_URL says where its tasks wait."""

from qcore import Context, Qcore

q = Qcore()


@q.task("bench:noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""


@q.task("bench:compute")
async def compute(_ctx: Context, until: int) -> int:
    """Compute for some hundred microseconds, as a handler that does anything does."""
    return sum(range(until))
