"""Where handlers run that are not coroutines."""

from qcore.app.tasks.handler import Kind
from qcore.app.worker.pools.processes import ProcessPool
from qcore.app.worker.pools.slots import Slots
from qcore.app.worker.pools.threads import ThreadPool


class HandlerPools:
    """A pool of threads and one of processes, and the slots that say who may use them."""

    def __init__(self, threads: int, processes: int) -> None:
        self.threads = ThreadPool(threads)
        self.processes = ProcessPool(processes)
        self.slots = {Kind.THREAD: Slots(threads), Kind.PROCESS: Slots(processes)}

    def close(self) -> None:
        """End what can be ended."""
        self.threads.close()
        self.processes.close()
