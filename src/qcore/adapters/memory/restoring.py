"""`RestorableQueue`: store tasks in a queue as they were, rather than as they are asked for."""

from math import inf

from qcore.adapters.memory.stored_task import StoredTask
from qcore.adapters.memory.task_collections import TaskCollections
from qcore.domain.answers import Conflict, Duplicate, Restoration, Restored
from qcore.domain.moments import Moment
from qcore.domain.snapshots import (
    TaskSnapshot,
    asked_due,
    gives_way,
    is_successor,
    key_until,
    restored_state,
)
from qcore.domain.states import ENDED, GONE
from qcore.domain.task import Task


class RestorableQueue(TaskCollections):
    """The collections of one queue, and how a task gets into them as it was."""

    def restore(self, snapshot: TaskSnapshot, now: Moment, over: str | None) -> Restoration:
        """Store a task as it was, unless its id or its unique key is taken."""
        task = snapshot.task
        old = self.tasks.get(task.id)
        if old is not None and not gives_way(old.state, old.error, over):
            return Conflict(task.id, old.state)
        holder = self._holder_in_the_way(task, now)
        if holder is not None and not self._may_wait_for(task):
            return Duplicate(holder.spec.id, holder.state)
        if old is not None:
            self._transfer(old, GONE)
        stored = _stored(snapshot, self._next_sequence())
        self._give_key(stored, task, holder, now)
        self.tasks[task.id] = stored
        self._add_to_collection(stored, stored.finished or 0.0)
        return Restored(task.id, stored.state)

    def _holder_in_the_way(self, task: Task, now: Moment) -> StoredTask | None:
        """Return the task that has the unique key which this one would take or wait for."""
        key = task.spec.unique_key
        if key is None or task.state in ENDED:
            return None
        return self._holder(key, now) if is_successor(task) or key_until(task) > now else None

    def _may_wait_for(self, task: Task) -> bool:
        return is_successor(task) and task.spec.unique_key not in self._successors

    def _give_key(
        self, stored: StoredTask, task: Task, holder: StoredTask | None, now: Moment
    ) -> None:
        """Give a task its unique key, or the place behind the one that has it."""
        key, until = task.spec.unique_key, key_until(task)
        if key is None or task.state in ENDED:
            return
        if holder is not None:
            self._unique_holders[key] = holder.spec.id, inf
            self._successors[key] = task.id, until, asked_due(task)
            return
        if is_successor(task):
            stored.due = asked_due(task)
        if until > now:
            self._unique_holders[key] = task.id, until


def _stored(snapshot: TaskSnapshot, sequence: int) -> StoredTask:
    task = snapshot.task
    return StoredTask(
        task.spec,
        restored_state(task),
        task.created,
        task.due,
        sequence,
        task.attempts,
        task.failures,
        task.crashes,
        task.error,
        task.finished,
        task.result,
        task.result_type,
        task.unhandled_since,
        snapshot.details,
    )
