"""What the tests of the application layer share: a queue in memory with signals on it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Unpack

from qcore import Handle, Qcore, State, Task
from qcore.adapters.memory import MemoryBroker
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_RESULT
from qcore.app.worker.settings import WorkerOptions
from qcore.app.worker.worker import Worker
from qcore.domain.retry import Dice
from qcore.ports import Broker, Clock, Serializer
from qcore.testing import ManualClock, Signals, drain


class Lab(Qcore):
    """A queue in memory, in virtual time, that tells what its workers do."""

    def __init__(
        self,
        broker: Broker | None = None,
        *,
        clock: Clock | None = None,
        autojump: bool = False,
        dice: Dice = lambda: 0.5,
        serializer: Serializer | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        max_result: int = DEFAULT_MAX_RESULT,
    ) -> None:
        self.signals = Signals()
        self.manual = ManualClock(autojump=autojump)
        super().__init__(
            broker=broker or MemoryBroker(),
            clock=clock or self.manual,
            instruments=(self.signals,),
            dice=dice,
            serializer=serializer,
            max_payload=max_payload,
            max_result=max_result,
        )

    async def run_due(self) -> int:
        """Run what is due now, once; return how many runs that took."""
        return await drain(self, jump=False)

    @asynccontextmanager
    async def working(self, **settings: Unpack[WorkerOptions]) -> AsyncGenerator[Worker]:
        """Have a worker at work within the block; it leaves at once at its end."""
        worker = self.worker(**settings)
        running = asyncio.create_task(worker.run())
        await self.signals.worker_started.next()
        try:
            yield worker
        finally:
            worker.stop(at_once=True)
            await running


async def stored(handle: Handle[object]) -> Task:
    """Return a task that must be stored."""
    task = await handle.task()
    assert task is not None, f"{handle!r} is gone"
    return task


async def verdict_on(handle: Handle[Any]) -> tuple[State, int, str | None]:
    """Return where a task has come to."""
    task = await stored(handle)
    return task.state, task.crashes, task.error


async def turn(times: int = 10) -> None:
    """Let the loop turn until what is ready has run."""
    for _ in range(times):
        await asyncio.sleep(0)
