"""One queue in memory."""

from collections import defaultdict
from collections.abc import Sequence
from math import inf
from typing import Final

from attrs import evolve

from qcore.adapters.memory.stored_task import Entry, Sorted
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.effects import apply
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import (
    ACTIVE,
    ENDED,
    GONE,
    PENDING,
    Aggregated,
    Crashed,
    Due,
    Expired,
    RunNow,
    State,
    Transition,
    Updated,
    advance,
)
from qcore.domain.moments import Moment
from qcore.domain.new_task import REPLACE, NewTask, TaskId
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, ruled
from qcore.domain.run_details import DetailsUpdate, after, noted
from qcore.domain.task import Claim, Lease, RetentionPolicy, changed, state_of_new

PROMOTED_AT_ONCE: Final = 1_000


class Queue:
    """One queue's tasks, each in `entries` and in the one collection of its state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[TaskId, Entry] = {}
        self.pending = Sorted()
        self.waiting = Sorted()
        self.expiring = Sorted()
        self.active: dict[TaskId, Entry] = {}
        self.ended = {State.COMPLETED: Sorted(), State.ARCHIVED: Sorted(), State.DEAD: Sorted()}
        self._held: dict[str, tuple[TaskId, Moment]] = {}
        """Unique key to the task that has it, and until when."""
        self._sequence = 0
        self._token = 0
        self._news: list[TaskId] = []
        self._groups: defaultdict[str, Sorted] = defaultdict(Sorted)
        self.limits = NO_LIMITS
        self._full: Moment = 0.0
        """When the bucket of its rate is full."""

    def add(self, spec: NewTask, now: Moment) -> Admission:
        """Store a new task, in place of an ended one of its id."""
        old, key = self.entries.get(spec.id), spec.unique_key
        if old is not None or key is not None:
            in_the_way = self._make_way(spec, old, now)
            if in_the_way is not None:
                return in_the_way
        if key is not None:
            until = inf if spec.unique_for is None else now + spec.unique_for
            self._held[key] = spec.id, until
        state = state_of_new(spec, now)
        due = spec.due if state is State.SCHEDULED and spec.due is not None else now
        entry = self.entries[spec.id] = Entry(spec, state, now, due, self._next())
        self._put_in(entry, now)
        return Enqueued(spec.id, state)

    def _make_way(
        self, spec: NewTask, old: Entry | None, now: Moment
    ) -> Conflict | Duplicate | None:
        """Remove what gives way to a new task, or return why it cannot be stored."""
        holder = None if spec.unique_key is None else self._holder(spec.unique_key, now)
        gives_way = spec.on_duplicate == REPLACE and holder and holder.state is not State.ACTIVE
        if old is not None and old.state not in ENDED and not (gives_way and old is holder):
            return Conflict(spec.id, old.state)
        if holder is not None:
            if not gives_way:
                return Duplicate(holder.spec.id, holder.state)
            self._place(holder, State.GONE)
        if old is not None and old is not holder:
            self._place(old, State.GONE)
        return None

    def _holder(self, key: str, now: Moment) -> Entry | None:
        """Return the task that has a unique key."""
        task, until = self._held.get(key, ("", 0.0))
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
        room = min(room, self._free(now))
        before = len(into)
        while room > 0 and pending:
            entry = entries[pending.pop()]
            spec = entry.spec
            if spec.expires is not None and spec.expires <= now:
                self.move(entry, Expired(), now)
                continue
            if spec.expires is not None:
                self.expiring.discard(spec.id)
            self._token += 1
            entry.state = ACTIVE
            entry.token = self._token
            entry.until = until
            entry.attempts += 1
            self.active[spec.id] = entry
            into.append(Claim(entry.shown(), Lease(spec.queue, spec.id, entry.token, until)))
            room -= 1
        if self.limits.rate is not None and len(into) > before:
            self._full = self.limits.rate.after(self._full, now, len(into) - before)

    def _free(self, now: Moment) -> int:
        """Return how many tasks the limits let be claimed."""
        return self.limits.free(len(self.active), self._full, now)

    @property
    def has_work(self) -> bool:
        """Whether something is pending, or waits in a group."""
        return bool(self.pending) or bool(self._groups)

    def next_due(self) -> Moment | None:
        """Return when something is due, or may start by the rate that keeps it."""
        first = self.waiting.first()
        due = None if first is None else first[0]
        start = self.limits.next_start(len(self.active), self._full) if self.pending else None
        return min((moment for moment in (due, start) if moment is not None), default=None)

    def set_limit(self, rule: LimitChange, now: Moment) -> Limits:
        """Set a limit."""
        limits = ruled(self.limits, rule)
        if limits.rate != self.limits.rate:
            self._full = now
        self.limits = limits
        return limits

    def listed_groups(self) -> list[Group]:
        """Return the groups in which tasks wait, in the order of their names."""
        return [
            Group(self.name, name, len(members), members[0].due, members[-1].due)
            for name in sorted(self._groups)
            if (members := self.members(name))
        ]

    def members(self, group: str) -> list[Entry]:
        """Return the tasks that wait in a group, those due first before the others."""
        entries = [self.entries[task] for task in self._groups.get(group, ())]
        return sorted(entries, key=Entry.place)

    def aggregate(
        self, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
    ) -> Admission | Stale:
        """Put one task in the place of members of a group."""
        waiting = self._groups.get(group, ())
        if not ids or not set(ids).issubset(waiting):
            return Stale()
        answer = self.add(task, now)
        if isinstance(answer, Enqueued):
            for each in ids:
                # one of them may have given way to the task, and perhaps its id
                entry = self.entries.get(each)
                if entry is not None and entry.state is State.AGGREGATING:
                    self._place(entry, advance(entry, Aggregated()))
        return answer

    def move(self, entry: Entry, event: Transition, now: Moment) -> State:
        """Write down what happened to a task."""
        state = apply(entry, event, now)
        entry.details = after(entry.details, event, entry.attempts, now)
        if isinstance(event, Updated):
            self._update(entry, changed(entry.spec, event))
            return state
        if isinstance(event, RunNow):
            entry.spec = evolve(entry.spec, expires=None)
            entry.sequence = self._next()
        self._place(entry, state, now)
        return state

    def _update(self, entry: Entry, spec: NewTask) -> None:
        """Write down what else was asked for, and put a task where it then belongs."""
        finished = entry.finished
        self._take_out(entry, entry.spec.id)
        if spec.priority != entry.spec.priority:
            entry.sequence = self._next()
        entry.spec = spec
        self._put_in(entry, finished or 0.0)

    def write(self, entry: Entry, note: DetailsUpdate) -> None:
        """Keep what a run says of itself."""
        entry.details = noted(entry.details, note)
        if note.progress is not None:
            self._news.append(entry.spec.id)

    def read_news(self) -> Sequence[TaskId]:
        """Return which tasks have news since this was asked last."""
        news, self._news = self._news, []
        return news

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

    def trim(self, limit: int, now: Moment, keep: RetentionPolicy) -> int:
        """Forget the tasks that have been kept for long enough."""
        # a completed task is filed under the end of its own retention, however many there are
        done = self._trim(State.COMPLETED, limit, now, RetentionPolicy(len(self.entries), 0.0))
        done += self._trim(State.ARCHIVED, limit - done, now, keep)
        return done + self._trim(State.DEAD, limit - done, now, keep)

    def _trim(self, state: State, limit: int, now: Moment, keep: RetentionPolicy) -> int:
        kept = self.ended[state]
        for done in range(limit):
            first = kept.first()
            if first is None or (first[0] + keep.age > now and len(kept) <= keep.count):
                return done
            self._place(self.entries[kept.pop()], State.GONE)
        return limit

    def listed(self, state: State) -> list[Entry]:
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

    def _place(self, entry: Entry, state: State, now: Moment = 0.0) -> None:
        """Take a task out of the collection of its state, and put it into that of another."""
        task = entry.spec.id
        self._take_out(entry, task)
        entry.state = state
        entry.finished = now if state in ENDED else None
        key = entry.spec.unique_key
        if key is not None and state in ENDED and self._held.get(key, ("", 0.0))[0] == task:
            del self._held[key]
        if state in ENDED and state is not GONE:
            self._news.append(task)
        self._put_in(entry, now)

    def _put_in(self, entry: Entry, now: Moment) -> None:
        task, state = entry.spec.id, entry.state
        # what most come to first
        if state is PENDING:
            self.pending.add((-entry.spec.priority, entry.sequence), task)
            if entry.spec.expires is not None:
                self.expiring.add((entry.spec.expires, entry.sequence), task)
            return
        if state is GONE:
            del self.entries[task]
            return
        match state:
            case State.SCHEDULED | State.RETRY:
                self.waiting.add((entry.due, entry.sequence), task)
            case State.AGGREGATING:
                self._groups[entry.spec.group or ""].add(entry.place(), task)
            case State.COMPLETED:
                self.ended[entry.state].add((now + entry.spec.retention, entry.sequence), task)
            case State.ARCHIVED | State.DEAD:
                self.ended[entry.state].add((now, entry.sequence), task)
            case _:
                pass

    def _take_out(self, entry: Entry, task: TaskId) -> None:
        # where most come from first
        if entry.state is ACTIVE:
            del self.active[task]
            entry.token, entry.until = 0, 0.0
            return
        match entry.state:
            case State.PENDING:
                self.pending.discard(task)
                if entry.spec.expires is not None:
                    self.expiring.discard(task)
            case State.SCHEDULED | State.RETRY:
                self.waiting.discard(task)
            case State.AGGREGATING:
                members = self._groups[entry.spec.group or ""]
                members.discard(task)
                if not members:
                    del self._groups[entry.spec.group or ""]
            case State.COMPLETED | State.ARCHIVED | State.DEAD:
                self.ended[entry.state].discard(task)
            case _:
                pass
