"""Memory brokers that break a promise of removed queues each."""

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import (
    QueueNotEmpty,
    QueueRemoved,
)
from qcore.domain.states import ENDED


class RemovesWhatHasTasks(MemoryBroker):
    """Counts the tasks, and removes them."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        self._queues.pop(queue, None)
        return answer


class RemovesWhatHasEnded(MemoryBroker):
    """Takes a queue for empty in which nothing waits or runs."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        kept = self._queues.get(queue)
        if kept is not None and all(task.state in ENDED for task in kept.tasks.values()):
            self._queues.pop(queue)
        return await super().remove_queue(queue, now=now)


class RemovesNothing(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        kept = self._queues.get(queue)
        answer = await super().remove_queue(queue, now=now)
        if kept is not None:
            self._queues[queue] = kept
        return answer


class ForgetsTokensOfTheRemoved(MemoryBroker):
    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        if answer == QueueRemoved():
            self._queues.pop(queue, None)
        return answer


class RemovesNamesakes(MemoryBroker):
    """Removes the queues whose names begin with that of the removed one, too."""

    async def remove_queue(self, queue: str, *, now: float) -> QueueRemoved | QueueNotEmpty:
        answer = await super().remove_queue(queue, now=now)
        for name in [name for name in self._queues if name.startswith(f"{queue}:")]:
            self._queues.pop(name)
        return answer
