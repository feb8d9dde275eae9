"""A worker beside an application, in its process and on its event loop."""

import asyncio
from collections.abc import AsyncGenerator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress

from qcore.app.worker.worker import Worker
from qcore.domain.events import Event, WorkerStarted


class StartNotice:
    """An instrument that waits for the start of a worker."""

    wants: AbstractSet[type] = frozenset({WorkerStarted})

    def __init__(self) -> None:
        self._started = asyncio.Event()

    def __call__(self, event: Event) -> None:  # noqa: ARG002  (there is but one that it wants)
        self._started.set()

    async def wait_unless(self, ended: asyncio.Task[None]) -> None:
        """Return when the worker has started, or has ended without."""
        starting = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait([starting, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()


@asynccontextmanager
async def run_beside(worker: Worker, notice: StartNotice) -> AsyncGenerator[Worker, None]:
    """Run a worker while the block lasts; `notice` is one of its instruments.

    The block begins when the worker is about to claim its first task; what keeps it from starting
    is raised before. After the block the worker stops within its grace, and an error with which it
    has ended is raised, unless the block raises one itself. A cancellation meanwhile cancels the
    worker, which gives its tasks back.
    """
    running = asyncio.create_task(worker.run(), name="qcore-worker")
    try:
        await notice.wait_unless(running)
        if running.done():
            # why it could not start; in a burst there may have been nothing to do
            running.result()
        yield worker
    except BaseException:
        worker.stop()
        # instruments have been told of an error of its own
        with suppress(Exception):
            await running
        raise
    worker.stop()
    await running
