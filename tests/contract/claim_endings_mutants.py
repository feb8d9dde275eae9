"""Memory brokers that break a promise of `ClaimEndings` each."""

from collections.abc import Sequence

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Swept
from qcore.domain.task import Claim, Demand


class EndsInSilence(MemoryBroker):
    def take_ended(self) -> Sequence[Swept]:
        return ()


class CountsOnly(MemoryBroker):
    def take_ended(self) -> Sequence[Swept]:
        return [evolve(each, tasks=()) for each in super().take_ended()]


class ForgetsAttempts(MemoryBroker):
    def take_ended(self) -> Sequence[Swept]:
        return [
            evolve(each, tasks=tuple(evolve(task, attempts=0) for task in each.tasks))
            for each in super().take_ended()
        ]


class TellsTheLatestFirst(MemoryBroker):
    def take_ended(self) -> Sequence[Swept]:
        return (*super().take_ended(),)[::-1]


class CountsThoseNamed(MemoryBroker):
    def take_ended(self) -> Sequence[Swept]:
        return [evolve(each, expired=len(each.tasks)) for each in super().take_ended()]


class _Keeps(MemoryBroker):
    kept: Sequence[Swept] = ()

    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        self.kept = (*self.kept, *super().take_ended())
        return claims


class TellsAgain(_Keeps):
    def take_ended(self) -> Sequence[Swept]:
        return self.kept[-16:]


class KeepsAll(_Keeps):
    def take_ended(self) -> Sequence[Swept]:
        kept, self.kept = self.kept, ()
        return kept


class ForgetsWhenClosed(MemoryBroker):
    async def close(self) -> None:
        super().take_ended()
