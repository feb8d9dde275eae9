"""`TaskCollections`: where the tasks of one queue of the memory broker lie, by their states."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Final

from qcore.adapters.memory.stored_task import IdHeap, SortKey, StoredTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import ACTIVE, ENDED, GONE, PENDING, State

MAX_PRIORITIES: Final = 100
"""Of a queue, whose first tasks are looked at to say since when one has waited."""


class TaskCollections:
    """Each task is in `tasks`, and in the one collection of its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: dict[TaskId, StoredTask] = {}
        self.pending = IdHeap()
        self.waiting = IdHeap()
        self._retries = 0
        """How many of those that wait are in retry."""
        self.expiring = IdHeap()
        self.active: dict[TaskId, StoredTask] = {}
        self.ended = {State.COMPLETED: IdHeap(), State.ARCHIVED: IdHeap(), State.DEAD: IdHeap()}
        self._completed: IdHeap | None = None
        """Completed tasks by when they ended: kept as soon as somebody has listed them."""
        self._unique_holders: dict[str, tuple[TaskId, Moment]] = {}
        """Unique keys to the tasks that hold them, and until when."""
        self._successors: dict[str, tuple[TaskId, Moment, Moment]] = {}
        """Unique keys to the tasks that wait for the end of a holder, until when they hold the key
        thereafter, and when they are due."""
        self._sequence = 0
        self._changed: list[TaskId] = []
        self._has_new_work = False
        self._groups: defaultdict[str, IdHeap] = defaultdict(IdHeap)

    def listed(self, state: State, number: int, after: SortKey | None) -> list[StoredTask]:
        """Return the first tasks of a state in the order of their sort keys, those behind one."""
        ids = self._in_order(state, after)
        if ids is not None:
            # those that wait for a first run lie beside those that wait for another
            found = (self.tasks[task] for task in ids)
            return [*islice((each for each in found if each.state is state), number)]
        some = (self.tasks[task] for task in self._unordered(state))
        keyed = ((each.sort_key(), each) for each in some)
        rest = (each for each in keyed if after is None or each[0] > after)
        return [stored for _, stored in nsmallest(number, rest, key=lambda each: each[0])]

    def _in_order(self, state: State, after: SortKey | None) -> Iterator[TaskId] | None:
        """Return the ids behind a key, None for a state whose tasks lie in no such order."""
        match state:
            case State.PENDING:
                return self.pending.ascending(after)
            case State.SCHEDULED | State.RETRY:
                return self.waiting.ascending(after)
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                before = None if after is None else (-after[0], -after[1])
                return self._by_end(state).descending(before)
            case _:
                return None

    def _by_end(self, state: State) -> IdHeap:
        """Return ended tasks by when they ended; completed ones lie by the end of retention."""
        if state is not State.COMPLETED:
            return self.ended[state]
        if self._completed is None:
            self._completed = IdHeap()
            for task in self.ended[state]:
                stored = self.tasks[task]
                self._completed.add((stored.finished or 0.0, stored.sequence), task)
        return self._completed

    def _unordered(self, state: State) -> Iterator[TaskId]:
        if state is ACTIVE:
            return iter(self.active)
        return (task for members in self._groups.values() for task in members)

    def ready_since(self, now: Moment) -> Moment | None:
        """Return when the earliest task was due that is pending, or could be.

        Of pending ones the first of each priority counts.
        """
        firsts = islice(self.pending.firsts(), MAX_PRIORITIES)
        ready = [self.tasks[task].due for task in firsts]
        if (first := self.waiting.first()) is not None and first[0] <= now:
            ready.append(first[0])
        return min(ready, default=None)

    def count(self) -> dict[State, int]:
        """Return the number of tasks by state."""
        counts = {
            State.SCHEDULED: len(self.waiting) - self._retries,
            State.PENDING: len(self.pending),
            State.AGGREGATING: sum(map(len, self._groups.values())),
            ACTIVE: len(self.active),
            State.RETRY: self._retries,
            **{state: len(ended) for state, ended in self.ended.items()},
        }
        return {state: number for state, number in counts.items() if number}

    def pop_changed(self) -> Sequence[TaskId]:
        """Return the tasks that ended, or whose progress changed, since the last call."""
        news, self._changed = self._changed, []
        return news

    def pop_new_work(self) -> bool:
        """Return whether the end of a task has made another one due since the last call."""
        has_new_work, self._has_new_work = self._has_new_work, False
        return has_new_work

    def _holder(self, key: str, now: Moment) -> StoredTask | None:
        """Return the task that holds a unique key, None where it is free."""
        task, until = self._unique_holders.get(key, ("", 0.0))
        return self.tasks[task] if until > now else None

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _transfer(self, stored: StoredTask, state: State, now: Moment = 0.0) -> None:
        """Move a task from the collection of its state to that of another."""
        if state is GONE:
            self._remove(stored)
            return
        task = stored.spec.id
        self._remove_from_collection(stored, task)
        stored.state = state
        stored.finished = now if state in ENDED else None
        key = stored.spec.unique_key
        if key is not None and state in ENDED:
            self._release_unique_key(key, task)
        if state in ENDED:
            self._changed.append(task)
        self._add_to_collection(stored, now)

    def _remove(self, stored: StoredTask) -> None:
        """Remove a task that is gone."""
        task, key = stored.spec.id, stored.spec.unique_key
        self._remove_from_collection(stored, task)
        del self.tasks[task]
        stored.state = GONE
        if key is not None:
            self._release_unique_key(key, task)

    def _release_unique_key(self, key: str, task: TaskId) -> None:
        """Free a key that an ended task held, or give it to the task that waits for that."""
        successor, until, due = self._successors.get(key, ("", 0.0, 0.0))
        if successor == task:
            del self._successors[key]
        if self._unique_holders.get(key, ("", 0.0))[0] != task:
            return
        if not successor:
            del self._unique_holders[key]
            return
        del self._successors[key]
        self._unique_holders[key] = successor, until
        stored = self.tasks[successor]
        if stored.state is State.SCHEDULED and stored.due == LAST_MOMENT:
            self._remove_from_collection(stored, successor)
            stored.due = due
            self._add_to_collection(stored, due)
            self._has_new_work = True

    def _add_to_collection(self, stored: StoredTask, now: Moment) -> None:
        task, state = stored.spec.id, stored.state
        # not in the match below: most tasks take one of these two
        if state is PENDING:
            self.pending.add((-stored.spec.priority, stored.sequence), task)
            if stored.spec.expires is not None:
                self.expiring.add((stored.spec.expires, stored.sequence), task)
            return
        match state:
            case State.SCHEDULED | State.RETRY:
                self.waiting.add((stored.due, stored.sequence), task)
                self._retries += state is State.RETRY
            case State.AGGREGATING:
                self._groups[stored.spec.group or ""].add(stored.sort_key(), task)
            case State.COMPLETED:
                self.ended[stored.state].add((now + stored.spec.retention, stored.sequence), task)
                if self._completed is not None:
                    self._completed.add((stored.finished or 0.0, stored.sequence), task)
            case State.ARCHIVED | State.DEAD:
                self.ended[stored.state].add((now, stored.sequence), task)
            case _:
                pass

    def _remove_from_collection(self, stored: StoredTask, task: TaskId) -> None:
        # not in the match below: most tasks take this
        if stored.state is ACTIVE:
            del self.active[task]
            stored.token, stored.until = 0, 0.0
            return
        match stored.state:
            case State.PENDING:
                self.pending.discard(task)
                if stored.spec.expires is not None:
                    self.expiring.discard(task)
            case State.SCHEDULED | State.RETRY:
                self.waiting.discard(task)
                self._retries -= stored.state is State.RETRY
            case State.AGGREGATING:
                members = self._groups[stored.spec.group or ""]
                members.discard(task)
                if not members:
                    del self._groups[stored.spec.group or ""]
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                self.ended[stored.state].discard(task)
                if self._completed is not None:
                    self._completed.discard(task)
            case _:
                pass
