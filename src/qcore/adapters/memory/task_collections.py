"""`TaskCollections`: where the tasks of one queue of the memory broker lie, by their states."""

from collections import defaultdict
from collections.abc import Sequence

from qcore.adapters.memory.stored_task import IdHeap, StoredTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import ACTIVE, ENDED, GONE, PENDING, State


class TaskCollections:
    """Each task is in `tasks`, and in the one collection of its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: dict[TaskId, StoredTask] = {}
        self.pending = IdHeap()
        self.waiting = IdHeap()
        self.expiring = IdHeap()
        self.active: dict[TaskId, StoredTask] = {}
        self.ended = {State.COMPLETED: IdHeap(), State.ARCHIVED: IdHeap(), State.DEAD: IdHeap()}
        self._unique_holders: dict[str, tuple[TaskId, Moment]] = {}
        """Unique keys to the tasks that hold them, and until when."""
        self._successors: dict[str, tuple[TaskId, Moment, Moment]] = {}
        """Unique keys to the tasks that wait for the end of a holder, until when they hold the key
        thereafter, and when they are due."""
        self._sequence = 0
        self._changed: list[TaskId] = []
        self._has_new_work = False
        self._groups: defaultdict[str, IdHeap] = defaultdict(IdHeap)

    def in_state(self, state: State) -> list[StoredTask]:
        """Return the tasks of one state."""
        return [task for task in self.tasks.values() if task.state is state]

    def ready_since(self, now: Moment) -> Moment | None:
        """Return when the earliest task was due that is pending, or could be."""
        ready = [task.due for task in self.in_state(State.PENDING)]
        if (first := self.waiting.first()) is not None and first[0] <= now:
            ready.append(first[0])
        return min(ready, default=None)

    def count(self) -> dict[State, int]:
        """Return the number of tasks by state."""
        counts = dict.fromkeys(State, 0)
        for stored in self.tasks.values():
            counts[stored.state] += 1
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
        task = stored.spec.id
        self._remove_from_collection(stored, task)
        stored.state = state
        stored.finished = now if state in ENDED else None
        key = stored.spec.unique_key
        if key is not None and state in ENDED:
            self._release_unique_key(key, task)
        if state in ENDED and state is not GONE:
            self._changed.append(task)
        self._add_to_collection(stored, now)

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
        if state is GONE:
            del self.tasks[task]
            return
        match state:
            case State.SCHEDULED | State.RETRY:
                self.waiting.add((stored.due, stored.sequence), task)
            case State.AGGREGATING:
                self._groups[stored.spec.group or ""].add(stored.sort_key(), task)
            case State.COMPLETED:
                self.ended[stored.state].add((now + stored.spec.retention, stored.sequence), task)
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
            case State.AGGREGATING:
                members = self._groups[stored.spec.group or ""]
                members.discard(task)
                if not members:
                    del self._groups[stored.spec.group or ""]
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                self.ended[stored.state].discard(task)
            case _:
                pass
