"""streaQ."""

from collections.abc import Sequence

from streaq import Worker

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, URL, Awaiting

worker = Worker(redis_url=URL, concurrency=CONCURRENCY)


@worker.task(ttl=0)
async def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Streaq(Awaiting):
    async def open(self) -> None:
        await worker.__aenter__()

    async def send(self, n: int) -> None:
        await noop.enqueue(n, EMAIL)

    async def send_many(self, numbers: Sequence[int]) -> None:
        await worker.enqueue_many([noop.enqueue(n, EMAIL) for n in numbers])

    async def serve(self) -> None:
        await worker.run_async()


system = Streaq
