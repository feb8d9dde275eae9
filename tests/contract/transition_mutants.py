"""Memory brokers that change more of a task, or less of a batch, than was asked for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.queue import Queue
from qcore.adapters.memory.stored_task import StoredTask
from qcore.domain.answers import LeaseLost, Swept
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Command,
    Crashed,
    Rescheduled,
    Snoozed,
    Transition,
    Updated,
)
from qcore.ports import Kinds, Notify
from tests.contract.limits_mutants import with_queue


def also(kind: type, change: Callable[[StoredTask], object]) -> type[MemoryBroker]:
    """Return a broker where one kind of transition changes something else besides."""

    def move(
        self: Queue,
        stored: StoredTask,
        event: Transition,
        now: float,
        verdict: Verdict | None = None,
    ) -> State:
        if isinstance(event, kind):
            change(stored)
        return Queue.move(self, stored, event, now, verdict)

    return with_queue(move=move)


def _loses_headers(stored: StoredTask) -> None:
    stored.spec = evolve(stored.spec, headers={})


def _loses_saved_work(stored: StoredTask) -> None:
    stored.details = Details(stored.details.errors, stored.details.progress)


def _gives_the_attempt_back(stored: StoredTask) -> None:
    stored.attempts -= 1


def _forgets_crashes(stored: StoredTask) -> None:
    stored.crashes = 0


def _forgets_errors(stored: StoredTask) -> None:
    stored.details = Details((), stored.details.progress, stored.details.saved)


SnoozesWithoutHeaders = also(Snoozed, _loses_headers)
CrashesWithoutSavedWork = also(Crashed, _loses_saved_work)
CancelsAttempts = also(Cancelled, _gives_the_attempt_back)
ReschedulesWithoutCrashes = also(Rescheduled, _forgets_crashes)
UpdatesWithoutErrors = also(Updated, _forgets_errors)
ArchivesWithoutHeaders = also(Archived, _loses_headers)


class ExtendsAThousand(MemoryBroker):
    """Renews the first thousand leases of a batch, and says so of them all."""

    async def extend(self, leases: Sequence[Lease], *, until: float) -> Sequence[Lease | LeaseLost]:
        renewed = await super().extend(leases[:1_000], until=until)
        return [*renewed, *(evolve(lease, until=until) for lease in leases[1_000:])]


class ExtendsOnly(MemoryBroker):
    """Never makes a lease end earlier."""

    def _renew(self, lease: Lease, until: float) -> Lease | LeaseLost:
        stored = self._holder(lease)
        before = 0.0 if stored is None else stored.until
        answer = super()._renew(lease, until)
        if stored is not None:
            stored.until = max(before, until)
        return answer


class SavesQueueByQueue(MemoryBroker):
    """Answers in the order in which the queues were first named."""

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        queues = dict.fromkeys(update.lease.queue for update in updates)
        ordered = [each for queue in queues for each in updates if each.lease.queue == queue]
        return await super().save_details(ordered)


class SweepsTheLastForMore(MemoryBroker):
    """Says whether there is more in the last of its queues alone."""

    async def sweep(self, queues: Sequence[str], limit: int, *, now: float) -> Swept:
        total = Swept()
        for queue in queues:
            done = await super().sweep([queue], limit, now=now)
            total = Swept(
                total.crashed + done.crashed,
                total.expired + done.expired,
                total.trimmed + done.trimmed,
                done.more,
            )
        return total


class CutsKeys(MemoryBroker):
    """Compares the first 255 characters of unique keys."""

    async def enqueue(self, tasks: Sequence[NewTask], *, now: float) -> Any:
        cut = [evolve(t, unique_key=t.unique_key and t.unique_key[:255]) for t in tasks]
        return await super().enqueue(cut, now=now)


class FollowsPlainly(MemoryBroker):
    """Enqueues what follows without what it was to replace."""

    def _follow_up(self, tasks: Sequence[NewTask], now: float) -> set[str]:
        return super()._follow_up([evolve(t, on_duplicate="reject") for t in tasks], now)


class CutsReasons(MemoryBroker):
    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: float
    ) -> Any:
        if isinstance(command, Archived | Cancelled):
            command = evolve(command, reason=command.reason[:255])
        return await super().execute(queue, ids, command, now=now)


class WritesWhenCancelled(MemoryBroker):
    """Goes on with a command though its caller has given up."""

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: float
    ) -> Any:
        async def later() -> Any:
            for _ in range(5):
                await asyncio.sleep(0)
            return await MemoryBroker.execute(self, queue, ids, command, now=now)

        return await asyncio.shield(asyncio.ensure_future(later()))


class HearsOnce(MemoryBroker):
    """Takes one function for one subscriber."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Any:
        among = self._subscribers._subscribers  # noqa: SLF001  (a broken broker)
        among[:] = [each for each in among if each.notify is not notify]
        return await super().subscribe(queues, kinds, notify)
