"""arq. Its worker polls, every half a second by default; 50 ms here, which is to its advantage."""

from typing import Any

from arq import Worker, create_pool
from arq.connections import RedisSettings

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, PORT, Awaiting

SETTINGS = RedisSettings(port=PORT)


async def noop(_ctx: dict[Any, Any], n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Arq(Awaiting):
    async def open(self) -> None:
        self._pool = await create_pool(SETTINGS)

    async def send(self, n: int) -> None:
        await self._pool.enqueue_job("noop", n, EMAIL)

    async def serve(self) -> None:
        worker = Worker(
            [noop],
            redis_settings=SETTINGS,
            max_jobs=CONCURRENCY,
            keep_result=0,
            poll_delay=0.05,
            log_results=False,
        )
        await worker.async_run()


system = Arq
