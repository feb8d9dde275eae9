"""`enqueue`: new tasks, their ids and unique keys checked against those that are stored."""

from collections.abc import Sequence
from typing import Any, Final

from qcore.adapters.links.postgres import Tx, Values
from qcore.adapters.links.postgres.arrays import blobs, numbers, texts
from qcore.adapters.postgres.places import Place, in_order
from qcore.adapters.postgres.records import (
    STATES,
    STORED_OPTIONS,
    values_of,
)
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.transitions import (
    SUCCESSOR,
    delete_tasks,
    release_unique_keys,
)
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import KEEP, REJECT, RERUN, NewTask, TaskId
from qcore.domain.states import ENDED, State
from qcore.domain.task import Task, state_of_new

_SQL: Final = statements("enqueue")
Key = tuple[str, str]
"""A queue and a unique key."""


async def enqueue(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Admission]:
    """Store tasks, and answer each in the order given."""
    if not tasks:
        return []
    tx.tell_of_work({task.queue for task in tasks})
    answers = await _enqueue_plain(tx, tasks, now)
    if answers is not None:
        return answers
    batch = EnqueueBatch(now)
    await batch.read(tx, tasks)
    answers = [batch.add(task) for task in tasks]
    batch.write(tx)
    return answers


async def _enqueue_plain(tx: Tx, tasks: Sequence[NewTask], now: Moment) -> list[Admission] | None:
    """Store tasks in one statement; None, with nothing stored, where there is more to decide."""
    if any(task.unique_key is not None for task in tasks):
        return None
    if len(tasks) > 1 and len({(task.queue, task.id) for task in tasks}) < len(tasks):
        return None
    states = [state_of_new(task, now) for task in tasks]
    dues = [due_of(task, state, now) for task, state in zip(tasks, states, strict=True)]
    ((stored,),) = await tx.alone(_SQL["simple"], values_of(tasks, states, dues, now))
    if stored < len(tasks):
        return None
    return [Enqueued(task.id, state) for task, state in zip(tasks, states, strict=True)]


def due_of(task: NewTask, state: State, now: Moment) -> Moment:
    """Return when a new task is due: never before now, unless it is scheduled."""
    return task.due if task.due is not None and state is State.SCHEDULED else now


class EnqueueBatch:
    """Tasks that go in together, decided in memory and written together."""

    def __init__(self, now: Moment) -> None:
        self._now = now
        self.rows: dict[Place, tuple[Task, str | None]] = {}
        """Tasks as they are to be stored, with what they hold; a later one may replace one."""
        self._replaced: list[Place] = []
        """Stored tasks to delete, as new ones replace them."""
        self._lapsed: list[Place] = []
        """Stored tasks that lose their unique key, as its time is over."""
        self._holders: dict[Key, TaskId] = {}
        """The task that holds each unique key."""
        self._successors: dict[Key, TaskId] = {}
        """The task that waits for the end of the one that holds each unique key."""
        self._idle: dict[Key, TaskId] = {}
        """Unique keys that a stored task holds although they are free to take."""
        self._states: dict[Place, State] = {}

    async def read(self, tx: Tx, tasks: Sequence[NewTask]) -> None:
        """Lock and read what is stored under the ids and the unique keys."""
        named = in_order((task.queue, task.id) for task in tasks)
        for queue, task_id, state in await tx.fetch(_SQL["by_id"], named):
            self._states[queue, task_id] = STATES.get(state, State.GONE)
        keys = {(task.queue, task.unique_key) for task in tasks if task.unique_key is not None}
        if keys:
            await self._read_holders(tx, sorted(keys))

    async def _read_holders(self, tx: Tx, keys: Sequence[Key]) -> None:
        wanted = sorted([*keys, *((queue, SUCCESSOR + key) for queue, key in keys)])
        values = {
            "queues": texts([queue for queue, _ in wanted]),
            "holds": texts([held for _, held in wanted]),
        }
        rows = await tx.fetch(_SQL["holders"], values)
        for queue, held, task, stored, *_ in rows:
            self._states[queue, task] = STATES.get(stored, State.GONE)
            if held.startswith(SUCCESSOR):
                self._successors[queue, held.removeprefix(SUCCESSOR)] = task
        for queue, held, task, _, since, options in rows:
            if held.startswith(SUCCESSOR):
                continue
            key = (queue, held)
            # an ended task holds no key, unless it was ended by hand
            if self._states[queue, task] not in ENDED and (
                key in self._successors
                or self._lasts(since, STORED_OPTIONS.decode_leniently(options).unique_for)
            ):
                self._holders[key] = task
            else:
                self._idle[key] = task

    def _lasts(self, since: Moment, unique_for: float | None) -> bool:
        return unique_for is None or since + unique_for > self._now

    def add(self, task: NewTask) -> Admission:
        """Admit a task; it replaces an ended one of its id, and those that give way to it."""
        holder: TaskId | None = None
        giving_way: tuple[TaskId, ...] = ()
        key = (task.queue, task.unique_key or "")
        if task.unique_key is not None:
            holder = self._holders.get(key)
            giving_way = self._giving_way(task, key)
        before = self._states.get((task.queue, task.id))
        if before is not None and task.id not in giving_way:
            if before not in ENDED or (task.on_conflict == KEEP and before is not State.GONE):
                return Conflict(task.id, before)
            giving_way = (*giving_way, task.id)
        if holder is not None and holder not in giving_way and task.on_duplicate != RERUN:
            return Duplicate(holder, self._states[task.queue, holder])
        for each in giving_way:
            self.remove((task.queue, each))
        if holder is None:
            return self._store(task, state_of_new(task, self._now))
        self._successors.pop(key, None)
        if holder in giving_way:
            del self._holders[key]
            return self._store(task, state_of_new(task, self._now))
        return self._store(task, State.SCHEDULED, LAST_MOMENT)

    def _giving_way(self, task: NewTask, key: Key) -> tuple[TaskId, ...]:
        """Return the tasks that make room for this one, as it replaces those that do not run."""
        holder = self._holders.get(key)
        if holder is None or task.on_duplicate == REJECT:
            return ()
        runs = self._states[task.queue, holder] is State.ACTIVE
        if runs and task.on_duplicate != RERUN:
            return ()
        successor = self._successors.get(key)
        waiting = () if successor is None else (successor,)
        return waiting if runs else (*waiting, holder)

    def _store(self, task: NewTask, state: State, due: Moment | None = None) -> Enqueued:
        """Add a row for a task, due at `due` if not as it was asked for."""
        due = due_of(task, state, self._now) if due is None else due
        self.put(Task(task, state, self._now, due), self._hold_of(task))
        return Enqueued(task.id, state)

    def put(self, task: Task, holds: str | None) -> None:
        """Have a task stored as it is, with what it holds."""
        self._states[task.queue, task.id] = task.state
        self.rows[task.queue, task.id] = task, holds

    def remove(self, place: Place) -> None:
        """Remove a task that is stored, or that came earlier in the batch."""
        self._states.pop(place)
        if self.rows.pop(place, None) is None:
            self._replaced.append(place)

    def _hold_of(self, task: NewTask) -> str | None:
        """Give a task its unique key, or the place behind its holder; return what it holds."""
        if task.unique_key is None:
            return None
        key = (task.queue, task.unique_key)
        if key in self._holders:
            return self.wait_behind(key, task.id)
        # `now + unique_for` may round to `now`: epoch seconds as a double are 0.2 µs apart
        if not self._lasts(self._now, task.unique_for):
            return None
        return self.take_key(key, task.id)

    def wait_behind(self, key: Key, task: TaskId) -> str:
        """Have a task wait for the end of the one that has a unique key; return what it holds."""
        self._successors[key] = task
        return SUCCESSOR + key[1]

    def take_key(self, key: Key, task: TaskId) -> str:
        """Give a task a unique key that is free; return what it holds."""
        if key in self._idle:
            self._lapsed.append((key[0], self._idle.pop(key)))
        self._holders[key] = task
        return key[1]

    def write(self, tx: Tx) -> None:
        """Delete what is replaced, then insert: ids and unique keys have unique indexes."""
        delete_tasks(tx, self._replaced)
        release_unique_keys(tx, self._lapsed)
        if self.rows:
            tx.add(_SQL["insert"], _rows_of([*self.rows.values()]))


def _rows_of(rows: Sequence[tuple[Task, str | None]]) -> Values:
    tasks = [task for task, _ in rows]
    specs: list[Any] = [task.spec for task in tasks]
    return {
        "queues": texts([spec.queue for spec in specs]),
        "ids": texts([spec.id for spec in specs]),
        "states": texts([str(task.state) for task in tasks]),
        "priorities": numbers([spec.priority for spec in specs]),
        "max_crashes": numbers([spec.max_crashes for spec in specs]),
        "created": numbers([task.created for task in tasks]),
        "due": numbers([task.due for task in tasks]),
        "not_before": numbers([spec.due for spec in specs]),
        "expires": numbers([spec.expires for spec in specs]),
        "retention": numbers([spec.retention for spec in specs]),
        "names": texts([spec.name for spec in specs]),
        "groups": texts([spec.group for spec in specs]),
        "options": texts([STORED_OPTIONS.encode(spec) for spec in specs]),
        "payloads": blobs([spec.payload for spec in specs]),
        "holds": texts([holds for _, holds in rows]),
        "attempts": numbers([task.attempts for task in tasks]),
        "failures": numbers([task.failures for task in tasks]),
        "crashes": numbers([task.crashes for task in tasks]),
        "finished": numbers([task.finished for task in tasks]),
        "unhandled": numbers([task.unhandled_since for task in tasks]),
        "errors": texts([task.error for task in tasks]),
        "result_types": texts([task.result_type for task in tasks]),
        "results": blobs([task.result for task in tasks]),
    }
