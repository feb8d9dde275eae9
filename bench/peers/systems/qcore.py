"""qcore, with every safety on: leases, tokens, and whatever else a worker does by default."""

import gc
from collections.abc import Sequence

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, URL, Awaiting, Blocking
from qcore import Context, Qcore
from qcore.answers import Refused
from qcore.entrypoints.logs import configure

q = Qcore(URL)


@q.task
async def noop(ctx: Context, n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class QcoreApp(Awaiting, Blocking):
    async def open(self) -> None:
        await q.__aenter__()

    def put(self, n: int) -> None:
        noop.enqueue_sync(n=n, email=EMAIL)

    async def send(self, n: int) -> None:
        await noop.enqueue(n=n, email=EMAIL)

    async def send_many(self, numbers: Sequence[int]) -> None:
        answers = await q.client.enqueue_many([noop.call(n=n, email=EMAIL) for n in numbers])
        assert not any(isinstance(answer, Refused) for answer in answers)

    async def serve(self) -> None:
        configure("warning")
        # as `qcore worker` does: what was imported stays
        gc.collect()
        gc.freeze()
        async with q:
            await q.worker(concurrency=CONCURRENCY).run()


system = QcoreApp
