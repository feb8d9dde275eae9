"""taskiq, with either of the queues that its Redis package has."""

import asyncio

from taskiq import AsyncBroker
from taskiq.receiver import Receiver

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, Awaiting


async def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Taskiq(Awaiting):
    def __init__(self, broker: AsyncBroker) -> None:
        self._broker = broker
        self._noop = broker.task("noop")(noop)

    async def open(self) -> None:
        await self._broker.startup()

    async def send(self, n: int) -> None:
        await self._noop.kiq(n, EMAIL)

    async def serve(self) -> None:
        self._broker.is_worker_process = True
        await self.open()
        receiver = Receiver(
            self._broker,
            max_async_tasks=CONCURRENCY,
            max_prefetch=CONCURRENCY,
            run_startup=False,
        )
        await receiver.listen(asyncio.Event())
