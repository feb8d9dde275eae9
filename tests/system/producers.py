"""Producers that go on whatever happens to their store, and know what they were promised."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import count
from typing import Final, Self

from qcore import BrokerUnavailable, Qcore
from qcore.types import Call
from tests.system.journal import Journal
from tests.system.journal_application import work
from tests.system.yard import FLOW, measured, until

A_PAUSE: Final = 0.002
"""Seconds between what one producer asks for: so much a worker keeps up with."""


class Producers:
    """Ask for tasks one by one, on a loop and on a thread, and note what was acknowledged."""

    def __init__(self, q: Qcore, *queues: str) -> None:
        self._q = q
        self._queues = queues
        self._leaving = threading.Event()
        self._numbers = count()
        self.acknowledged: list[set[str]] = [set(), set()]
        """Of the one that awaits, and of the one that blocks."""
        self.refused: list[set[str]] = [set(), set()]
        """Which may be stored all the same."""

    def losses(self, journal: Journal) -> set[str]:
        """Return what was acknowledged and never ran, and measure how much else there was."""
        acknowledged, refused = set().union(*self.acknowledged), set().union(*self.refused)
        ran = set(journal.runs_by_id())
        lost = acknowledged - ran
        assert ran <= acknowledged | refused, "nobody has asked for it"
        measured("acknowledged", len(acknowledged))
        measured("refused", len(refused))
        measured("refused, and run all the same", len(refused & ran))
        measured("acknowledged and lost", len(lost))
        return lost

    async def __aenter__(self) -> Self:
        self._running = [
            asyncio.create_task(self._await()),
            asyncio.create_task(asyncio.to_thread(self._block)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        await asyncio.gather(*self._running)

    async def flow(self) -> None:
        """Wait until each has been acknowledged many tasks from now on."""
        before = [len(ids) for ids in self.acknowledged]

        def come() -> bool:
            pairs = zip(self.acknowledged, before, strict=True)
            return all(len(ids) - number >= FLOW for ids, number in pairs)

        await until(come, "acknowledgements to every producer")

    async def are_refused(self) -> None:
        """Wait until each has been refused something."""
        before = [len(ids) for ids in self.refused]

        def come() -> bool:
            return all(len(ids) > n for ids, n in zip(self.refused, before, strict=True))

        await until(come, "a refusal to every producer")

    def _calls(self) -> Iterator[tuple[str, Call[object]]]:
        while not self._leaving.is_set():
            number = next(self._numbers)
            queue = self._queues[number % len(self._queues)]
            id_ = f"{queue}-{number}"
            yield id_, work.using(queue=queue, task_id=id_).call()

    async def _await(self) -> None:
        for id_, call in self._calls():
            try:
                await self._q.client.enqueue(call)
            except BrokerUnavailable:
                self.refused[0].add(id_)
            else:
                self.acknowledged[0].add(id_)
            await asyncio.sleep(A_PAUSE)

    def _block(self) -> None:
        for id_, call in self._calls():
            try:
                self._q.blocking.enqueue(call)
            except BrokerUnavailable:
                self.refused[1].add(id_)
            else:
                self.acknowledged[1].add(id_)
            self._leaving.wait(A_PAUSE)
