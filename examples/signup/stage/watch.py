"""Keep an eye on everything while the demo runs."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from examples.signup.app import q
from examples.signup.stage.figures import Snapshot
from examples.signup.stage.screen import Screen
from examples.signup.stage.smtp_server import MailServer
from examples.signup.stage.workers import Worker

LOOK_EVERY: Final = 0.2


class Watch:
    """Look at the queues, the mail server and the workers, and show what is seen."""

    def __init__(
        self, screen: Screen, server: MailServer, workers: Sequence[Worker], expected: int
    ) -> None:
        self._screen = screen
        self._server = server
        self._workers = workers
        self._expected = expected
        self._began = monotonic()
        self._news = asyncio.Condition()
        self._latest: Snapshot | None = None

    async def run(self) -> None:
        """Look again and again until cancelled; raise `WorkerDied` if a worker ends by itself."""
        while True:
            for worker in self._workers:
                worker.check()
            self._screen.show(await self.look())
            await asyncio.sleep(LOOK_EVERY)

    async def until(self, wanted: Callable[[Snapshot], bool]) -> Snapshot:
        """Wait for the first look at which things are as wanted, and return it."""
        async with self._news:
            while self._latest is None or not wanted(self._latest):
                await self._news.wait()
            return self._latest

    async def look(self) -> Snapshot:
        """Return how things are now."""
        snapshot = Snapshot(
            monotonic() - self._began,
            self._expected,
            await q.inspector.counts(),
            self._server.delivered,
            self._server.deferred,
            self._server.refused,
            [f"{worker.name} {worker.state}" for worker in self._workers],
        )
        async with self._news:
            self._latest = snapshot
            self._news.notify_all()
        return snapshot
