"""Memory brokers that break a promise about the workers that they list each."""

from collections.abc import Sequence

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.domain.workers import WorkerInfo


class ForgetsRuns(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        await super().announce(evolve(info, running=()))


class ForgetsWeights(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        await super().announce(evolve(info, queues=dict.fromkeys(info.queues, 1)))


class SortsQueues(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        await super().announce(evolve(info, queues=dict(sorted(info.queues.items()))))


class RoundsMoments(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        await super().announce(evolve(info, seen=round(info.seen, 3)))


class KeepsTheFirst(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        if info.id not in self._workers:
            await super().announce(info)


class ListsUnderTheirNames(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        for each in [each for each in self._workers.values() if each.name == info.name]:
            await super().withdraw(each.id)
        await super().announce(info)


class KeepsTheLatestEnd(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        before = self._workers.get(info.id, info)
        await super().announce(evolve(info, expires=max(before.expires, info.expires)))


class KeepsTheKilled(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        self._workers[info.id] = info


class RemovesAFew(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        expired = [each.id for each in self._workers.values() if each.expires <= info.seen]
        for each in expired[:10]:
            await super().withdraw(each)
        self._workers[info.id] = info


class RemovesAll(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        self._workers = {} if self._workers.keys() - {info.id} else self._workers
        await super().announce(info)


class NeverWithdraws(MemoryBroker):
    async def withdraw(self, worker: str) -> None:
        pass


class WithdrawsAll(MemoryBroker):
    async def withdraw(self, worker: str) -> None:
        self._workers.clear()


class MissesTheUnknown(MemoryBroker):
    async def withdraw(self, worker: str) -> None:
        del self._workers[worker]


class WithdrawsForGood(MemoryBroker):
    async def withdraw(self, worker: str) -> None:
        self._withdrawn = worker
        await super().withdraw(worker)

    async def announce(self, info: WorkerInfo) -> None:
        if info.id != getattr(self, "_withdrawn", None):
            await super().announce(info)


class ListsByName(MemoryBroker):
    async def workers(self, *, now: float) -> Sequence[WorkerInfo]:
        return sorted(await super().workers(now=now), key=lambda info: info.id)


class ListsAHundred(MemoryBroker):
    async def workers(self, *, now: float) -> Sequence[WorkerInfo]:
        return (await super().workers(now=now))[:100]


class ListsTheExpired(MemoryBroker):
    async def workers(self, *, now: float) -> Sequence[WorkerInfo]:
        del now
        return await super().workers(now=0.0)


class ListsInWholeSeconds(MemoryBroker):
    async def workers(self, *, now: float) -> Sequence[WorkerInfo]:
        return await super().workers(now=-(-now // 1))


class CountsWorkers(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        await super().announce(info)
        self._queue("default")

    async def count(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        return {name: queue.count() for name, queue in self._queues.items()}


class RemovesItself(MemoryBroker):
    async def announce(self, info: WorkerInfo) -> None:
        before = self._workers.get(info.id, info)
        await super().announce(info)
        if before.expires <= info.seen:
            await super().withdraw(info.id)
