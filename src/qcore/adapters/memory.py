"""The reference broker: exact, small, and gone with its process."""

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from threading import RLock
from typing import Final

from attrs import define, evolve

from qcore.domain.errors import InvalidOption
from qcore.domain.findings import Finding, Grade
from qcore.domain.lifecycle import (
    ENDED,
    MOVES,
    Crashed,
    Due,
    Event,
    Expired,
    IllegalMove,
    Order,
    RunNow,
    State,
    advance,
)
from qcore.domain.moments import Moment
from qcore.domain.progress import note
from qcore.domain.task import (
    REPLACE,
    Admission,
    Claim,
    Conflict,
    Demand,
    Duplicate,
    Enqueued,
    Keep,
    Lease,
    LeaseLost,
    Missing,
    Moved,
    NewTask,
    NotAllowed,
    Settled,
    Swept,
    Task,
    TaskId,
    Verdict,
)
from qcore.ports import Capability, Counts, Lost, Page

PROMOTED_AT_ONCE: Final = 1_000
DEFAULT_KEEP: Final = Keep()


class MemoryBroker:
    """Keep tasks in this process."""

    capabilities: frozenset[Capability] = frozenset({Capability.UNIQUE})

    def __init__(self, *, keep: Keep = DEFAULT_KEEP) -> None:
        self._keep = keep
        self._queues: dict[str, _Queue] = {}
        self._listeners: list[_Ear] = []
        # clients in other threads enqueue into the same store
        self._lock = RLock()

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing: the tasks live as long as the broker."""

    def blocking(self) -> "MemoryBroker":
        """Return itself, as it never suspends."""
        return self

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks."""
        with self._lock:
            answers = [self._queue(task.queue).add(task, now) for task in tasks]
        self._tell({task.queue for task in tasks})
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        claims: list[Claim] = []
        promoted = 0
        with self._lock:
            served = [(self._queues[q], n) for q, n in demand.quotas.items() if q in self._queues]
            for queue, _ in served:
                promoted += queue.promote(now)
            for queue, quota in served:
                queue.take(claims, min(quota, demand.limit - len(claims)), now, until)
            for queue, _ in served:
                queue.take(claims, demand.limit - len(claims), now, until)
        if promoted:
            self._tell({queue.name for queue, _ in served if queue.pending})
        return claims

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """End leases."""
        for verdict in verdicts:
            # before anything is written: a batch is written whole or not at all
            if type(verdict.outcome) not in MOVES[State.ACTIVE]:
                raise IllegalMove(f"{verdict.outcome!r} is no verdict on an active task")
        answers: list[Settled | LeaseLost] = []
        told: set[str] = set()
        with self._lock:
            for verdict in verdicts:
                entry = self._holder(verdict.lease)
                if entry is None:
                    answers.append(LeaseLost())
                    continue
                state = self._queues[verdict.lease.queue].move(entry, verdict.outcome, now)
                answers.append(Settled(state))
                if state not in ENDED:
                    told.add(verdict.lease.queue)
        self._tell(told)
        return answers

    async def extend(
        self,
        leases: Sequence[Lease],
        *,
        now: Moment,  # noqa: ARG002  (a lease is good while nobody has taken the task back)
        until: Moment,
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        with self._lock:
            return [self._renew(lease, until) for lease in leases]

    def _renew(self, lease: Lease, until: Moment) -> Lease | LeaseLost:
        entry = self._holder(lease)
        if entry is None:
            return LeaseLost()
        entry.until = until
        return evolve(lease, until=until)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Move what time has moved."""
        crashed = expired = trimmed = 0
        more = False
        with self._lock:
            for queue in self._known(queues):
                done = (
                    queue.crash(limit, now),
                    queue.expire(limit, now),
                    queue.trim(limit, now, self._keep),
                )
                crashed, expired, trimmed = crashed + done[0], expired + done[1], trimmed + done[2]
                more = more or max(done) >= limit
        if crashed:
            self._tell(set(queues))
        return Swept(crashed, expired, trimmed, more)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        with self._lock:
            moments = [queue.waiting.first() for queue in self._known(queues)]
        return min((key[0] for key in moments if key is not None), default=None)

    async def listen(
        self, queues: Sequence[str], heard: Callable[[], None], lost: Lost | None = None
    ) -> "_Ear":
        """Call `heard` whenever these queues may have something new."""
        ear = _Ear(frozenset(queues), heard, lost, self._listeners)
        self._listeners.append(ear)
        return ear

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        """Return tasks as they are."""
        with self._lock:
            entries = self._queues[queue].entries if queue in self._queues else {}
            return [entries[i].shown() if i in entries else None for i in ids]

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state, page by page."""
        with self._lock:
            if queue not in self._queues:
                return Page(())
            entries = self._queues[queue].listed(state)
            rows = [(e.place(), e) for e in entries]
        rows.sort(key=lambda row: row[0])
        after = _read_cursor(cursor)
        rows = [row for row in rows if after is None or row[0] > after][: limit + 1]
        shown = [entry.shown() for _, entry in rows[:limit]]
        last = rows[limit - 1][0] if 0 < limit < len(rows) else None
        return Page(shown, None if last is None else repr(last))

    async def count(self) -> Counts:
        """Count the tasks of every queue that has any."""
        with self._lock:
            counts = {name: queue.count() for name, queue in self._queues.items()}
        return {name: states for name, states in counts.items() if states}

    async def order(
        self, queue: str, ids: Sequence[TaskId], order: Order, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out an operator's order on tasks of one queue."""
        with self._lock:
            line = self._queues.get(queue)
            active = {} if line is None else line.active
            held = {task: active[task].token for task in ids if task in active}
            answers = [self._carry_out(queue, i, order, now) for i in ids]
            lost = [token for task, token in held.items() if task not in active]
        self._tell({queue})
        self._tell_of_lost(queue, lost)
        return answers

    def _tell_of_lost(self, queue: str, tokens: Sequence[int]) -> None:
        for ear in tuple(self._listeners):
            if ear.lost is not None and queue in ear.queues:
                for token in tokens:
                    ear.lost(queue, token)

    async def examine(self) -> Sequence[Finding]:
        """Return what there is to know: that all is gone with the process."""
        return [
            Finding(
                Grade.WARNING,
                "persistence",
                "tasks are kept in the process that enqueues them: nothing outlives it, and no "
                "other process can run them",
                "in production name a store, such as sqlite:///qcore.db or redis://host",
            )
        ]

    def _carry_out(
        self, queue: str, task: TaskId, order: Order, now: Moment
    ) -> Moved | NotAllowed | Missing:
        line = self._queues.get(queue)
        entry = None if line is None else line.entries.get(task)
        if line is None or entry is None:
            return Missing()
        if type(order) not in MOVES[entry.state]:
            return NotAllowed(entry.state)
        return Moved(line.move(entry, order, now))

    def _queue(self, name: str) -> "_Queue":
        """Return a queue, made by its first task."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue(name)
        return queue

    def _known(self, names: Sequence[str]) -> "list[_Queue]":
        return [self._queues[name] for name in names if name in self._queues]

    def _holder(self, lease: Lease) -> "_Entry | None":
        """Return the active task whose current token the lease has."""
        queue = self._queues.get(lease.queue)
        entry = None if queue is None else queue.active.get(lease.id)
        return entry if entry is not None and entry.token == lease.token else None

    def _tell(self, queues: set[str]) -> None:
        """Wake those who listen, outside the lock: what they do is theirs."""
        for ear in tuple(self._listeners):
            if not ear.queues.isdisjoint(queues):
                ear.heard()


def _read_cursor(cursor: str | None) -> tuple[float, int] | None:
    if cursor is None:
        return None
    try:
        first, second = cursor.strip("()").split(",")
        return float(first), int(second)
    except ValueError:
        raise InvalidOption(f"{cursor!r} is no cursor of this broker") from None


class _Ear:
    """A listener."""

    def __init__(
        self,
        queues: frozenset[str],
        heard: Callable[[], None],
        lost: Lost | None,
        among: "list[_Ear]",
    ) -> None:
        self.queues = queues
        self.heard = heard
        self.lost = lost
        self._among = among

    async def close(self) -> None:
        """Stop listening."""
        if self in self._among:
            self._among.remove(self)


@define(eq=False)
class _Entry:
    """A stored task."""

    spec: NewTask
    state: State
    created: Moment
    due: Moment
    sequence: int
    """Its place among those of its priority; kept while it is claimed, so that it can go back."""
    attempts: int = 0
    failures: int = 0
    crashes: int = 0
    error: str | None = None
    finished: Moment | None = None
    result: bytes | None = None
    result_type: str | None = None
    unhandled_since: Moment | None = None
    token: int = 0
    until: Moment = 0.0

    def shown(self) -> Task:
        """Return the task as the world sees it."""
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

    def place(self) -> tuple[float, int]:
        """Return its place in a listing of its state."""
        match self.state:
            case State.PENDING:
                return -self.spec.priority, self.sequence
            case State.ACTIVE:
                return self.until, self.token
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                return -(self.finished or 0.0), -self.sequence
            case _:
                return self.due, self.sequence


class _Sorted:
    """Ids by key, smallest first, where any can be taken out.

    A heap that forgets lazily: what was taken out stays in it until it comes up, or until the
    forgotten are the most.
    """

    def __init__(self) -> None:
        # flat, as the smallest of nested tuples takes half as long again to find
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
        """Take out the id with the smallest key; there must be one."""
        heap, keys = self._heap, self._keys
        while True:
            first, second, task = heappop(heap)
            if keys.get(task) == (first, second):
                del keys[task]
                return task


class _Queue:
    """One queue's tasks, each in `entries` and in the one collection of its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[TaskId, _Entry] = {}
        self.pending = _Sorted()
        self.waiting = _Sorted()
        self.expiring = _Sorted()
        self.active: dict[TaskId, _Entry] = {}
        self.ended = {State.COMPLETED: _Sorted(), State.ARCHIVED: _Sorted(), State.DEAD: _Sorted()}
        self._held: dict[str, tuple[TaskId, Moment]] = {}
        """Unique key to the task that has it, and until when."""
        self._sequence = 0
        self._token = 0

    def add(self, spec: NewTask, now: Moment) -> Admission:
        """Store a new task, in place of an ended one of its id."""
        old = self.entries.get(spec.id)
        holder = self._holder(spec.unique_key, now)
        gives_way = spec.on_duplicate == REPLACE and holder and holder.state is not State.ACTIVE
        if old is not None and old.state not in ENDED and not (gives_way and old is holder):
            return Conflict(spec.id, old.state)
        if holder is not None:
            if not gives_way:
                return Duplicate(holder.spec.id, holder.state)
            self._place(holder, State.GONE)
        if old is not None and old is not holder:
            self._place(old, State.GONE)
        if spec.unique_key is not None:
            until = inf if spec.unique_for is None else now + spec.unique_for
            self._held[spec.unique_key] = spec.id, until
        waits = spec.due is not None and spec.due > now
        state = State.SCHEDULED if waits else State.PENDING
        due = spec.due if waits and spec.due is not None else now
        entry = _Entry(spec, State.GONE, now, due, self._next())
        self.entries[spec.id] = entry
        self._place(entry, state)
        return Enqueued(spec.id, state)

    def _holder(self, key: str | None, now: Moment) -> _Entry | None:
        """Return the task that has a unique key."""
        task, until = self._held.get(key or "", ("", 0.0))
        return self.entries[task] if until > now else None

    def promote(self, now: Moment) -> int:
        """Make pending what is due; return how many tasks that was."""
        for done in range(PROMOTED_AT_ONCE):
            first = self.waiting.first()
            if first is None or first[0] > now:
                return done
            entry = self.entries[self.waiting.pop()]
            entry.sequence = self._next()
            self._place(entry, advance(entry, Due()))
        return PROMOTED_AT_ONCE

    def take(self, into: list[Claim], room: int, now: Moment, until: Moment) -> None:
        """Claim up to `room` tasks, in order."""
        pending, entries = self.pending, self.entries
        while room > 0 and pending:
            entry = entries[pending.pop()]
            spec = entry.spec
            if spec.expires is not None and spec.expires <= now:
                self.move(entry, Expired(), now)
                continue
            if spec.expires is not None:
                self.expiring.discard(spec.id)
            self._token += 1
            entry.state = State.ACTIVE
            entry.token = self._token
            entry.until = until
            entry.attempts += 1
            self.active[spec.id] = entry
            into.append(Claim(entry.shown(), Lease(spec.queue, spec.id, entry.token, until)))
            room -= 1

    def move(self, entry: _Entry, event: Event, now: Moment) -> State:
        """Write down what happened to a task."""
        state = note(entry, event, now)
        if isinstance(event, RunNow):
            entry.spec = evolve(entry.spec, expires=None)
            entry.sequence = self._next()
        self._place(entry, state, now)
        return state

    def crash(self, limit: int, now: Moment) -> int:
        """Take back the tasks whose lease ran out."""
        late = [entry for entry in self.active.values() if entry.until <= now]
        late.sort(key=lambda entry: (entry.until, entry.token))
        for entry in late[:limit]:
            self.move(entry, Crashed(), now)
        return min(limit, len(late))

    def expire(self, limit: int, now: Moment) -> int:
        """End the tasks that did not start in time."""
        for done in range(limit):
            first = self.expiring.first()
            if first is None or first[0] > now:
                return done
            self.move(self.entries[self.expiring.pop()], Expired(), now)
        return limit

    def trim(self, limit: int, now: Moment, keep: Keep) -> int:
        """Forget the tasks that have been kept for long enough."""
        # a completed task is filed under the end of its own retention, however many there are
        done = self._trim(State.COMPLETED, limit, now, Keep(len(self.entries), 0.0))
        done += self._trim(State.ARCHIVED, limit - done, now, keep)
        return done + self._trim(State.DEAD, limit - done, now, keep)

    def _trim(self, state: State, limit: int, now: Moment, keep: Keep) -> int:
        kept = self.ended[state]
        for done in range(limit):
            first = kept.first()
            if first is None or (first[0] + keep.age > now and len(kept) <= keep.count):
                return done
            self._place(self.entries[kept.pop()], State.GONE)
        return limit

    def listed(self, state: State) -> list[_Entry]:
        """Return the tasks of one state."""
        return [entry for entry in self.entries.values() if entry.state is state]

    def count(self) -> dict[State, int]:
        """Return the number of tasks by state."""
        counts = dict.fromkeys(State, 0)
        for entry in self.entries.values():
            counts[entry.state] += 1
        return {state: number for state, number in counts.items() if number}

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _place(self, entry: _Entry, state: State, now: Moment = 0.0) -> None:
        """Take a task out of the collection of its state, and put it into that of another."""
        task = entry.spec.id
        self._take_out(entry, task)
        entry.state = state
        entry.finished = now if state in ENDED else None
        key = entry.spec.unique_key
        if key is not None and state in ENDED and self._held.get(key, ("", 0.0))[0] == task:
            del self._held[key]
        match state:
            case State.PENDING:
                self.pending.add((-entry.spec.priority, entry.sequence), task)
                if entry.spec.expires is not None:
                    self.expiring.add((entry.spec.expires, entry.sequence), task)
            case State.SCHEDULED | State.RETRY:
                self.waiting.add((entry.due, entry.sequence), task)
            case State.GONE:
                del self.entries[task]
            case State.COMPLETED:
                self.ended[state].add((now + entry.spec.retention, entry.sequence), task)
            case State.ARCHIVED | State.DEAD:
                self.ended[state].add((now, entry.sequence), task)
            case _:
                pass

    def _take_out(self, entry: _Entry, task: TaskId) -> None:
        match entry.state:
            case State.ACTIVE:
                del self.active[task]
                entry.token, entry.until = 0, 0.0
            case State.PENDING:
                self.pending.discard(task)
                if entry.spec.expires is not None:
                    self.expiring.discard(task)
            case State.SCHEDULED | State.RETRY:
                self.waiting.discard(task)
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                self.ended[entry.state].discard(task)
            case _:
                pass
