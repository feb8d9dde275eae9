"""Memory brokers that break a promise of enqueueing, claiming, settling or browsing each."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.stored_task import StoredTask
from qcore.domain.answers import (
    Admission,
    Conflict,
    Enqueued,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    Settled,
    Swept,
)
from qcore.domain.crash_isolation import is_last_chance
from qcore.domain.new_task import REPLACE, NewTask
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, Lease, Verdict, token_floor
from qcore.domain.transitions import (
    Command,
    Deleted,
    Failed,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.ports import Counts, Kinds, Notify, Page


class IgnoresTokens(MemoryBroker):
    def _holder(self, lease: Lease) -> Any:
        queue = self._queues.get(lease.queue)
        return None if queue is None else queue.active.get(lease.id)


class ForgetsPriority(MemoryBroker):
    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: float
    ) -> Sequence[Enqueued | Conflict]:
        return await super().enqueue([evolve(task, priority=0) for task in tasks], now=now)


class IsEarly(MemoryBroker):
    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        return await super().claim(demand, now=now + 0.001, until=until)


class CountsInSeconds(MemoryBroker):
    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: float
    ) -> Sequence[Enqueued | Conflict]:
        whole = [evolve(task, retention=float(int(task.retention))) for task in tasks]
        return await super().enqueue(whole, now=now)


class LosesFractions(MemoryBroker):
    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: float
    ) -> Sequence[Enqueued | Conflict]:
        return await super().enqueue(tasks, now=round(now, 3))


class HandsOutTwice(MemoryBroker):
    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        claims = await super().claim(demand, now=now, until=until)
        for claim in claims[:1]:
            queue = self._queues[claim.lease.queue]
            queue.pending.add((0.0, 0), claim.lease.id)
        return claims


class MiscountsCrashes(MemoryBroker):
    """Hands tasks out as if they had crashed otherwise than they have."""

    def crashes_of(self, stored: StoredTask) -> int:
        raise NotImplementedError

    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        queues = [self._queues[queue] for queue in demand.quotas if queue in self._queues]
        right = {id_: task.crashes for queue in queues for id_, task in queue.tasks.items()}
        for queue in queues:
            for stored in queue.tasks.values():
                stored.crashes = self.crashes_of(stored)
        claims = await super().claim(demand, now=now, until=until)
        for queue in queues:
            for stored in queue.tasks.values():
                stored.crashes = right[stored.spec.id]
        return [
            evolve(claim, task=evolve(claim.task, crashes=right[claim.task.id])) for claim in claims
        ]


class ForgetsCrashes(MiscountsCrashes):
    def crashes_of(self, stored: StoredTask) -> int:
        return 0


class ForgetsFirstCrashes(MiscountsCrashes):
    def crashes_of(self, stored: StoredTask) -> int:
        return stored.crashes if is_last_chance(stored) else 0


class TakesFailuresForCrashes(MiscountsCrashes):
    def crashes_of(self, stored: StoredTask) -> int:
        return stored.crashes + stored.failures


class KnowsOneLastChance(MiscountsCrashes):
    """Goes by the default of `max_crashes`."""

    def crashes_of(self, stored: StoredTask) -> int:
        crashes, most = stored.crashes, stored.spec.max_crashes
        return most - 1 if crashes >= 2 else min(crashes, most - 2)


class AnswersTwice(MemoryBroker):
    last: Sequence[Claim] | None = None

    async def claim(self, demand: Demand, *, now: float, until: float) -> Sequence[Claim]:
        again, self.last = self.last, None
        if again is None:
            self.last = await super().claim(demand, now=now, until=until)
        return again or self.last or []


class KeepsTheDeleted(MemoryBroker):
    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        if isinstance(order, Deleted):
            return [Moved(State.GONE) for _ in ids]
        return await super().execute(queue, ids, order, now=now)


class SweepsWithoutEnd(MemoryBroker):
    async def sweep(self, queues: Sequence[str], limit: int, *, now: float) -> Swept:
        return await super().sweep(queues, limit * 1_000, now=now)


class NamesNothingSwept(MemoryBroker):
    async def sweep(self, queues: Sequence[str], limit: int, *, now: float) -> Swept:
        return evolve(await super().sweep(queues, limit, now=now), tasks=())


class NamesAllSwept(MemoryBroker):
    async def sweep(self, queues: Sequence[str], limit: int, *, now: float) -> Swept:
        sweep = super().sweep
        moved = [await sweep([queue], limit, now=now) for queue in queues]
        return Swept(
            sum(each.crashed for each in moved),
            sum(each.expired for each in moved),
            sum(each.trimmed for each in moved),
            any(each.more for each in moved),
            tuple(task for each in moved for task in each.tasks),
        )


class StartsTokensAgain(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        answers = await super().settle(verdicts, now=now)
        for name in [name for name, queue in self._queues.items() if not queue.tasks]:
            del self._queues[name]
        return answers


class CountsTokensFromOne(MemoryBroker):
    async def claim(self, demand: Demand, *, now: float, until: float) -> Any:
        claims = await super().claim(demand, now=now, until=until)
        return [
            evolve(claim, lease=evolve(claim.lease, token=claim.lease.token - token_floor(now)))
            for claim in claims
        ]


class IsDeaf(MemoryBroker):
    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        return await super().subscribe((), kinds, notify)


class StopsAtAConflict(MemoryBroker):
    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: float
    ) -> Sequence[Enqueued | Conflict]:
        answers: list[Enqueued | Conflict] = []
        for task in tasks:
            if answers and isinstance(answers[-1], Conflict):
                answers.append(answers[-1])
                continue
            answers += await super().enqueue([task], now=now)
        return answers


class BurnsSnoozes(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        return await super().settle(
            [evolve(v, outcome=_burned(v.outcome)) for v in verdicts], now=now
        )


def _burned(outcome: Any) -> Any:
    return Failed("snoozed", outcome.again_at) if isinstance(outcome, Snoozed) else outcome


class LosesResults(MemoryBroker):
    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        kept = [
            evolve(v, outcome=Succeeded()) if isinstance(v.outcome, Succeeded) else v
            for v in verdicts
        ]
        return await super().settle(kept, now=now)


class RepeatsPages(MemoryBroker):
    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        page = await super().browse(queue, state, limit, cursor=cursor)
        return evolve(page, tasks=[*page.tasks, *page.tasks[:1]][:limit])


class Suspends(MemoryBroker):
    async def count(self) -> Counts:
        await asyncio.sleep(0)
        return await super().count()


class CountsTooMany(MemoryBroker):
    async def count(self) -> Counts:
        counts = await super().count()
        return {**counts, "ghost": {State.DEAD: 1}}


class WritesHalf(MemoryBroker):
    """Lets a reader in between the tasks of a batch."""

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: float
    ) -> Sequence[Enqueued | Conflict]:
        answers: list[Enqueued | Conflict] = []
        for task in tasks:
            answers += await super().enqueue([task], now=now)
            time.sleep(0)  # noqa: ASYNC251  (no time: it is another thread's turn)
        return answers


class PutsLast(MemoryBroker):
    """Puts what is released where a new task would go: at the end."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        for verdict in verdicts:
            stored = self._holder(verdict.lease)
            if stored is not None:
                stored.sequence = self._queues[verdict.lease.queue]._next_sequence()  # noqa: SLF001  (a mutant knows what it breaks)
        return await super().settle(verdicts, now=now)


class ForgetsKeys(MemoryBroker):
    """Knows of a unique key only within a batch."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        for memory_queue in self._queues.values():
            memory_queue._unique_holders.clear()  # noqa: SLF001
        return await super().enqueue(tasks, now=now)


class LetsGoOfOthers(MemoryBroker):
    """Lets go of a task's unique key, whoever has it."""

    async def execute(
        self, queue: str, ids: Sequence[str], order: Command, *, now: float
    ) -> Sequence[Moved | NotAllowed | Missing]:
        for task in await self.get(queue, ids):
            if task is not None and task.spec.unique_key is not None:
                self._queues[queue]._unique_holders.pop(task.spec.unique_key, None)  # noqa: SLF001
        return await super().execute(queue, ids, order, now=now)


class ReplacesTheActive(MemoryBroker):
    """Takes the place of whoever has the key."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        for task in tasks:
            memory_queue = self._queues.get(task.queue)
            held = memory_queue._unique_holders.get(task.unique_key or "") if memory_queue else None  # noqa: SLF001
            if memory_queue and held and task.on_duplicate == REPLACE:
                memory_queue.move(memory_queue.tasks[held[0]], Revoked(), now)
        return await super().enqueue(tasks, now=now)


class ForgetsTheirTime(MemoryBroker):
    """Has a key for as long as its task lives, whatever was asked for."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        return await super().enqueue([evolve(task, unique_for=None) for task in tasks], now=now)


class SettlesWithoutALock(MemoryBroker):
    """Looks whose a lease is and ends it later, though another may have ended it by then."""

    async def settle(self, verdicts: Sequence[Verdict], *, now: float) -> Any:
        held = {verdict.lease: self._holder(verdict.lease) for verdict in verdicts}
        time.sleep(0)  # noqa: ASYNC251  (no time: it is another thread's turn)
        answers = [*await super().settle(verdicts, now=now)]
        for n, verdict in enumerate(verdicts):
            # of two verdicts in a batch the second has lost all the same
            stored = held.pop(verdict.lease, None)
            if stored is not None and isinstance(answers[n], LeaseLost):
                answers[n] = self.overtaken(stored, verdict.outcome)
        return answers

    def overtaken(self, stored: StoredTask, outcome: Transition) -> Settled | LeaseLost:
        """Return the answer to a verdict where another has ended the lease meanwhile."""
        return Settled(stored.state)


class KeepsTheLastVerdict(SettlesWithoutALock):
    """Tells the truth of who has lost a lease, but has written its result by then."""

    def overtaken(self, stored: StoredTask, outcome: Transition) -> LeaseLost:
        if isinstance(outcome, Succeeded):
            stored.result = outcome.result
        return LeaseLost()


class KnowsNoTypos(MemoryBroker):
    """Shows of a state that is none that nothing is in it."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        if state not in {*State}:
            return Page(())
        return await super().browse(queue, state, limit, cursor=cursor)


class KnowsNoTexts(MemoryBroker):
    """Takes a text for no state."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        if not isinstance(state, State):
            return Page(())
        return await super().browse(queue, state, limit, cursor=cursor)


class GoesOnBehindItsLast(MemoryBroker):
    """Begins a page behind the last task of the one before, wherever that is by now."""

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        whole = (await super().browse(queue, state, 10_000)).tasks
        ids = [task.id for task in whole]
        start = ids.index(cursor) + 1 if cursor in ids else 0
        shown = whole[start : start + limit]
        return Page(shown, shown[-1].id if start + limit < len(whole) and shown else None)


class SharesHeaders(MemoryBroker):
    """Gives everybody the same headers, which can be changed."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Sequence[Admission]:
        shared: dict[str, dict[str, str]] = {}
        for task in tasks:
            own = shared.setdefault(repr(task.headers), {**task.headers})
            object.__setattr__(task, "headers", own)
        return await super().enqueue(tasks, now=now)
