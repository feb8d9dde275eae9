"""`StoredTask`, the memory broker's record of a task, and `IdHeap`, which orders them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from operator import itemgetter
from sys import maxsize
from typing import Final, TypeAlias

from attrs import define

from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import NO_DETAILS, Details
from qcore.domain.states import State
from qcore.domain.task import Task

SortKey: TypeAlias = tuple[float, int]
"""Where a task is in the order of its collection; no two tasks of a queue have the same."""

_key_of: Final = itemgetter(0, 1)


@define(eq=False)
class StoredTask:
    """A task, mutable: `effects.apply` changes it in place."""

    spec: NewTask
    state: State
    created: Moment
    due: Moment
    sequence: int
    """Order within its priority; kept while it is active, so that a release puts it back there."""
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    error: str | None = None
    finished: Moment | None = None
    result: bytes | None = None
    result_type: str | None = None
    unhandled_since: Moment | None = None
    details: Details = NO_DETAILS
    token: int = 0
    until: Moment = 0.0

    def to_task(self) -> Task:
        """Return it as a `Task`, which later changes do not reach."""
        return Task(
            self.spec,
            self.state,
            self.created,
            self.due,
            self.attempts,
            self.failures,
            self.crashes,
            self.error,
            self.finished,
            self.result,
            self.result_type,
            self.unhandled_since,
        )

    def sort_key(self) -> SortKey:
        """Return its sort key in a listing of its state."""
        match self.state:
            case State.PENDING:
                return -self.spec.priority, self.sequence
            case State.ACTIVE:
                return self.until, self.token
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                return -(self.finished or 0.0), -self.sequence
            case _:
                return self.due, self.sequence


class IdHeap:
    """A priority queue of task ids, from which any can be removed, and which can be listed.

    A binary heap with lazy deletion: a removed id stays in the heap until it comes to the top, or
    until more than half of the heap is removed ids; then the heap is built anew. To be listed it is
    sorted in place: a sorted list is a heap, too, and one that has changed little since is sorted
    again in linear time. So whoever lists page by page does not sort all ids for each page, and
    whoever never lists pays for no second order.
    """

    def __init__(self) -> None:
        # flat tuples: comparing nested ones, (key, id), takes half as long again
        self._heap: list[tuple[float, int, TaskId]] = []
        self.keys: dict[TaskId, SortKey] = {}
        """The ids that are in it, and their keys; not to be changed from outside."""
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[TaskId]:
        return iter(self.keys)

    def add(self, key: SortKey, task: TaskId) -> None:
        self.keys[task] = key
        self._is_sorted = False
        heappush(self._heap, (*key, task))

    def discard(self, task: TaskId) -> None:
        if self.keys.pop(task, None) is not None and len(self._heap) > 2 * len(self.keys) + 64:
            self._heap = [(*key, task) for task, key in self.keys.items()]
            self._is_sorted = False
            heapify(self._heap)

    def first(self) -> SortKey | None:
        """Return the smallest key."""
        heap, keys = self._heap, self.keys
        while heap:
            first, second, task = heap[0]
            if keys.get(task) == (first, second):
                return first, second
            self._is_sorted = False
            heappop(heap)
        return None

    def pop(self) -> TaskId:
        """Remove and return the id with the smallest key; there must be one."""
        heap, keys = self._heap, self.keys
        self._is_sorted = False
        while True:
            first, second, task = heappop(heap)
            if keys.get(task) == (first, second):
                del keys[task]
                return task

    def ascending(self, after: SortKey | None) -> Iterator[TaskId]:
        """Yield the ids in the order of their keys, those behind a key."""
        heap = self._sorted()
        start = 0 if after is None else bisect_right(heap, after, key=_key_of)
        return self._present(heap[at] for at in range(start, len(heap)))

    def descending(self, before: SortKey | None) -> Iterator[TaskId]:
        """Yield the ids against the order of their keys, those before a key."""
        heap = self._sorted()
        end = len(heap) if before is None else bisect_left(heap, before, key=_key_of)
        return self._present(heap[at] for at in range(end - 1, -1, -1))

    def firsts(self) -> Iterator[TaskId]:
        """Yield the id with the smallest key of each first number, in the order of these."""
        after: SortKey | None = None
        while (task := next(self.ascending(after), None)) is not None:
            yield task
            after = self.keys[task][0], maxsize

    def _sorted(self) -> list[tuple[float, int, TaskId]]:
        if not self._is_sorted:
            self._heap.sort()
            self._is_sorted = True
        return self._heap

    def _present(self, entries: Iterator[tuple[float, int, TaskId]]) -> Iterator[TaskId]:
        keys, last = self.keys, None
        for first, second, task in entries:
            # one that was removed and added again with its key is there twice, side by side
            if keys.get(task) == (first, second) and task != last:
                yield task
                last = task
