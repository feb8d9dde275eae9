"""pgqueuer, over asyncpg, its fastest driver, with some consumers in one process."""

import asyncio
import json
from collections.abc import Sequence

import asyncpg
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import EMAIL, URL, Awaiting, run

DEFAULT_BATCH = 10


class Pgqueuer(Awaiting):
    def __init__(self, consumers: int, batch: int = DEFAULT_BATCH) -> None:
        self._consumers = consumers
        self._batch = batch

    def prepare(self) -> None:
        run(self._install())

    async def _install(self) -> None:
        await self.open()
        await self._queries.install()

    async def open(self) -> None:
        self._queries = Queries(AsyncpgDriver(await asyncpg.connect(URL)))

    async def send(self, n: int) -> None:
        await self._queries.enqueue("noop", _payload(n))

    async def send_many(self, numbers: Sequence[int]) -> None:
        payloads = [_payload(n) for n in numbers]
        await self._queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))

    async def serve(self) -> None:
        await asyncio.gather(*(_consume(self._batch) for _ in range(self._consumers)))


def _payload(n: int) -> bytes:
    return json.dumps({"n": n, "email": EMAIL}).encode()


async def _consume(batch: int) -> None:
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))

    @queue.entrypoint("noop")
    async def noop(job: Job) -> None:
        ran(json.loads(job.payload)["n"])

    await queue.run(batch_size=batch)
