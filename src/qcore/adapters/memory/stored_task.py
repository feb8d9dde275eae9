"""`StoredTask`, the memory broker's record of a task, and `IdHeap`, which orders them."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from attrs import define

from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import NO_DETAILS, Details
from qcore.domain.states import State
from qcore.domain.task import Task


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

    def sort_key(self) -> tuple[float, int]:
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
    """A priority queue of task ids, from which any can be removed.

    A binary heap with lazy deletion: a removed id stays in the heap until it comes to the top, or
    until more than half of the heap is removed ids; then the heap is built anew.
    """

    def __init__(self) -> None:
        # flat tuples: comparing nested ones, (key, id), takes half as long again
        self._heap: list[tuple[float, int, TaskId]] = []
        self._keys: dict[TaskId, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[TaskId]:
        return iter(self._keys)

    def add(self, key: tuple[float, int], task: TaskId) -> None:
        self._keys[task] = key
        heappush(self._heap, (*key, task))

    def discard(self, task: TaskId) -> None:
        if self._keys.pop(task, None) is not None and len(self._heap) > 2 * len(self._keys) + 64:
            self._heap = [(*key, task) for task, key in self._keys.items()]
            heapify(self._heap)

    def first(self) -> tuple[float, int] | None:
        """Return the smallest key."""
        heap, keys = self._heap, self._keys
        while heap:
            first, second, task = heap[0]
            if keys.get(task) == (first, second):
                return first, second
            heappop(heap)
        return None

    def pop(self) -> TaskId:
        """Remove and return the id with the smallest key; there must be one."""
        heap, keys = self._heap, self._keys
        while True:
            first, second, task = heappop(heap)
            if keys.get(task) == (first, second):
                del keys[task]
                return task
