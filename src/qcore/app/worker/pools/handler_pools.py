"""The pools for handlers that are plain functions, and the slots that bound them."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from qcore.app.tasks.kind import Kind
from qcore.app.worker.pools.processes import ProcessPool
from qcore.app.worker.pools.slots import Slots
from qcore.app.worker.pools.threads import ThreadPool

thread_pool: Final[ContextVar[Callable[[int], ThreadPool]]] = ContextVar(
    "qcore_thread_pool", default=ThreadPool
)
"""Makes the pool of threads of a worker: a test may have plain handlers run in its own thread,
where the connection is whose transaction they are to see."""


class HandlerPools:
    """A pool of threads, a pool of processes, and the slots of each."""

    def __init__(self, threads: int, processes: int) -> None:
        self.threads = thread_pool.get()(threads)
        self.processes = ProcessPool(processes)
        self.slots = {Kind.THREAD: Slots(threads), Kind.PROCESS: Slots(processes)}

    def close(self) -> None:
        """End idle threads and processes; a thread that is busy ends when its handler does."""
        self.threads.close()
        self.processes.close()
