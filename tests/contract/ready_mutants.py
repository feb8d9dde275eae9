"""Broken answers to since when tasks have been ready: each fails a case of the contract."""

from collections.abc import Sequence

from qcore.adapters.memory import MemoryBroker
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.states import State


class SeesTheNextAlone(MemoryBroker):
    """Answers with the task next in turn, whatever waits behind it."""

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        pages = [await self.browse(queue, State.PENDING, 1) for queue in queues]
        return [page.tasks[0].due if page.tasks else None for page in pages]


class SeesWhatIsNotDue(MemoryBroker):
    """Takes scheduled tasks for ready ones."""

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        return await super().ready_since(queues, now=LAST_MOMENT)


class SeesWhatRuns(MemoryBroker):
    """Takes tasks that run for tasks that wait."""

    async def ready_since(self, queues: Sequence[str], *, now: Moment) -> Sequence[Moment | None]:
        found = await super().ready_since(queues, now=now)
        running = [(await self.browse(queue, State.ACTIVE, 1)).tasks for queue in queues]
        return [
            tasks[0].due if tasks else moment for moment, tasks in zip(found, running, strict=True)
        ]
