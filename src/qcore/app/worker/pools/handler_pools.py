"""The pools for handlers that are plain functions, and the slots that bound them."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Final

from qcore.app.tasks.kind import Kind
from qcore.app.worker.pools.slots import Slots
from qcore.app.worker.pools.threads import ThreadPool

if TYPE_CHECKING:
    from qcore.app.worker.pools.processes import ProcessPool

thread_pool: Final[ContextVar[Callable[[int], ThreadPool]]] = ContextVar(
    "qcore_thread_pool", default=ThreadPool
)
"""Makes the pool of threads of a worker: a test may have plain handlers run in its own thread,
where the connection is whose transaction they are to see."""


class HandlerPools:
    """A pool of threads, a pool of processes, and the slots of each."""

    def __init__(self, threads: int, processes: int) -> None:
        self.threads = thread_pool.get()(threads)
        self._process_pool = processes
        self.slots = {Kind.THREAD: Slots(threads), Kind.PROCESS: Slots(processes)}

    @cached_property
    def processes(self) -> "ProcessPool":
        """The pool of processes, made for the first handler that runs in one."""
        # a worker without such handlers need not keep `multiprocessing` in memory
        from qcore.app.worker.pools.processes import ProcessPool

        return ProcessPool(self._process_pool)

    def close(self) -> None:
        """End idle threads and processes; a thread that is busy ends when its handler does."""
        self.threads.close()
        if "processes" in vars(self):
            self.processes.close()
