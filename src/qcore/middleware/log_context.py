"""Bind the run to every line that is logged in it, by whichever library."""

from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

from qcore.app.tasks.context import Context
from qcore.app.tasks.router_tree import Middleware, Next
from qcore.log.logger import get_logger


def log_runs(logger: FilteringBoundLogger | None = None) -> Middleware:
    """Return a middleware that binds the run to everything that is logged in it.

    Task, id, queue and attempt are structlog context variables while the handler runs, as coroutine
    or in a thread: `structlog.contextvars.merge_contextvars` puts them into each line, whichever
    library logs it. A process has none of the worker's variables: there, use `ctx.log`. That a run
    begins is logged as debug; how it ended, and after how many seconds, `LoggingInstrument` says.
    """
    log: FilteringBoundLogger = logger or get_logger()

    async def bind(ctx: Context, run: Next) -> object:
        facts = {
            "task": ctx.name,
            "task_id": ctx.id,
            "queue": ctx.queue,
            "attempt": ctx.attempt,
        }
        with bound_contextvars(**facts):
            # named here too, as not everybody merges context variables
            log.debug("task started", **facts)
            return await run(ctx)

    return bind
