"""Procrastinate."""

from collections.abc import Sequence

from procrastinate import App, PsycopgConnector

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import CONCURRENCY, EMAIL, URL, Awaiting, run

app = App(connector=PsycopgConnector(conninfo=URL))


@app.task
async def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Procrastinate(Awaiting):
    def prepare(self) -> None:
        run(self._apply())

    async def _apply(self) -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    async def open(self) -> None:
        await app.open_async()

    async def send(self, n: int) -> None:
        await noop.defer_async(n=n, email=EMAIL)

    async def send_many(self, numbers: Sequence[int]) -> None:
        await noop.batch_defer_async(*({"n": n, "email": EMAIL} for n in numbers))

    async def serve(self) -> None:
        async with app.open_async():
            await app.run_worker_async(concurrency=CONCURRENCY, delete_jobs="always")


system = Procrastinate
