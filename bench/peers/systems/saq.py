"""SAQ."""

from typing import Any

from saq import Queue, Worker

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, URL, Awaiting


async def noop(_ctx: Any, *, n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Saq(Awaiting):
    async def open(self) -> None:
        self._queue = Queue.from_url(URL)
        await self._queue.connect()

    async def send(self, n: int) -> None:
        # -1: nothing is kept of a task that is done
        await self._queue.enqueue("noop", n=n, email=EMAIL, ttl=-1)

    async def serve(self) -> None:
        await self.open()
        await Worker(self._queue, functions=[noop], concurrency=CONCURRENCY).start()


system = Saq
