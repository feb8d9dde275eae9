"""`restore`: tasks as they were, their ids and unique keys checked against what is stored."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres import details_rows
from qcore.adapters.postgres.enqueue import EnqueueBatch
from qcore.adapters.postgres.places import Place, places
from qcore.adapters.postgres.statements import statements
from qcore.domain.answers import Conflict, Duplicate, Restoration, Restored
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import NO_DETAILS
from qcore.domain.snapshots import (
    TaskSnapshot,
    asked_due,
    is_successor,
    key_until,
    restored_state,
)
from qcore.domain.states import ENDED
from qcore.domain.task import Task

_SQL: Final = statements("restore")


async def restore(
    tx: Tx, snapshots: Sequence[TaskSnapshot], now: Moment, over: str | None
) -> list[Restoration]:
    """Store tasks as they were, and answer each in the order given."""
    batch = _Batch(now)
    await batch.read(tx, [each.task.spec for each in snapshots])
    await batch.read_set_aside(tx, [(each.queue, each.task.id) for each in snapshots], over)
    answers = [batch.restore(each) for each in snapshots]
    batch.write(tx)
    tx.tell_of_work({each.queue for each in snapshots})
    return answers


class _Batch(EnqueueBatch):
    """Tasks that are restored together."""

    def __init__(self, now: Moment) -> None:
        super().__init__(now)
        self._aside: set[Place] = set()
        """Stored tasks that are replaced."""
        self._details: list[TaskSnapshot] = []

    async def read_set_aside(self, tx: Tx, named: Sequence[Place], over: str | None) -> None:
        """Read which of the tasks that are stored give way."""
        if over is not None:
            values = {**places(named), "over": over}
            rows = await tx.fetch(_SQL["set_aside"], values)
            self._aside = {(queue, task) for queue, task, is_aside in rows if is_aside}

    def restore(self, snapshot: TaskSnapshot) -> Restoration:
        """Store a task as it was, unless its id or its unique key is taken."""
        task = snapshot.task
        place = (task.queue, task.id)
        stored = self._states.get(place)
        gives_way = place in self._aside
        # what this very call has restored is replaced by nothing
        self._aside.discard(place)
        if stored is not None and not gives_way:
            return Conflict(task.id, stored)
        holder = self._holder_in_the_way(task)
        if holder is not None and not self._may_wait_for(task):
            return Duplicate(holder, self._states[task.queue, holder])
        if stored is not None:
            self.remove(place)
        state = restored_state(task)
        due = task.due
        if is_successor(task):
            due = LAST_MOMENT if holder is not None else asked_due(task)
        finished = task.finished if state in ENDED else None
        as_it_was = evolve(task, state=state, due=due, finished=finished)
        self.put(as_it_was, self._key_for(task, holder))
        if snapshot.details != NO_DETAILS:
            self._details.append(snapshot)
        return Restored(task.id, state)

    def _holder_in_the_way(self, task: Task) -> TaskId | None:
        """Return the task that has the unique key which this one would take or wait for."""
        key = task.spec.unique_key
        if key is None or task.state in ENDED:
            return None
        wants = is_successor(task) or key_until(task) > self._now
        return self._holders.get((task.queue, key)) if wants else None

    def _may_wait_for(self, task: Task) -> bool:
        key = (task.queue, task.spec.unique_key or "")
        return is_successor(task) and key not in self._successors

    def _key_for(self, task: Task, holder: TaskId | None) -> str | None:
        """Give a task its unique key, or the place behind its holder; return what it holds."""
        unique_key = task.spec.unique_key
        if unique_key is None or task.state in ENDED:
            return None
        key = (task.queue, unique_key)
        if holder is not None:
            return self.wait_behind(key, task.id)
        return self.take_key(key, task.id) if key_until(task) > self._now else None

    def write(self, tx: Tx) -> None:
        """Delete what is replaced, then insert."""
        super().write(tx)
        if self._details:
            details_rows.insert(tx, self._details)
