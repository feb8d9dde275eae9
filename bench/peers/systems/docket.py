"""docket. Its pool has 100 connections by default, which 100 tasks at once run out of."""

from collections.abc import Sequence

from docket import Docket, Worker

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, URL, Awaiting


async def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class DocketOfTasks(Awaiting):
    async def open(self) -> None:
        self._docket = Docket(name="bench", url=f"{URL}?max_connections=1000")
        await self._docket.__aenter__()
        self._docket.register(noop)

    async def send(self, n: int) -> None:
        await self._docket.add(noop)(n, EMAIL)

    async def send_many(self, numbers: Sequence[int]) -> None:
        # a call() has one key, by which its second use would be a duplicate
        await self._docket.add_many([self._docket.call(noop)(n, EMAIL) for n in numbers])

    async def serve(self) -> None:
        await self.open()
        async with Worker(self._docket, concurrency=CONCURRENCY) as worker:
            await worker.run_forever()


system = DocketOfTasks
