"""Memory brokers that break a promise of follow-up tasks each."""

import time
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import (
    Enqueued,
    Settled,
)
from qcore.domain.new_task import NewTask
from qcore.domain.task import Verdict
from qcore.domain.transitions import FOLLOWED


class ForgetsWhatFollows(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        return super()._follow_up((), now)


class FollowsSilently(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        super()._follow_up(tasks, now)
        return set()


class StopsAtARefusal(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        for task in tasks:
            if not isinstance(self._queue(task.queue).add(task, now), Enqueued):
                break
        return {task.queue for task in tasks}


class OverwritesWhatIsThere(MemoryBroker):
    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        for task in tasks:
            stored = self._queue(task.queue).tasks.get(task.id)
            if stored is not None:
                stored.spec = task
        return super()._follow_up(tasks, now)


class FollowsFirst(MemoryBroker):
    """Stores what is to follow before the verdict has counted."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        for verdict in verdicts:
            if isinstance(verdict.outcome, FOLLOWED) and self._holder(verdict.lease):
                self._follow_up(verdict.outcome.then, now)
        without = [
            evolve(v, outcome=evolve(v.outcome, then=())) if isinstance(v.outcome, FOLLOWED) else v
            for v in verdicts
        ]
        return await super().settle(without, now=now)


class FollowsInASecondStep(MemoryBroker):
    """Lets a reader in between the end of a lease and what is to follow."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        ended = [evolve(v.outcome, then=()) if _followed(v) else v.outcome for v in verdicts]
        without = [evolve(v, outcome=outcome) for v, outcome in zip(verdicts, ended, strict=True)]
        answers = await super().settle(without, now=now)
        # not 0: a busy machine may give the reader no turn in any of the ten batches
        time.sleep(0.001)  # noqa: ASYNC251  (it is another thread's turn)
        for verdict, answer in zip(verdicts, answers, strict=True):
            if isinstance(answer, Settled):
                await self.enqueue(_followed(verdict), now=now)
        return answers


def _followed(verdict: Verdict) -> Sequence[NewTask]:
    return verdict.outcome.then if isinstance(verdict.outcome, FOLLOWED) else ()


class FollowsTheLost(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        answers = await super().settle(verdicts, now=now)
        for verdict in verdicts:
            if isinstance(verdict.outcome, FOLLOWED):
                self._follow_up(verdict.outcome.then, now)
        return answers
