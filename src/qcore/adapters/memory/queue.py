"""`Queue`: the tasks, unique keys, groups and limits of one queue of the memory broker."""

from collections.abc import Sequence
from heapq import nsmallest
from math import inf
from typing import Final

from attrs import evolve

from qcore.adapters.memory.restoring import RestorableQueue
from qcore.adapters.memory.statistics import QueueStatistics
from qcore.adapters.memory.stored_task import StoredTask
from qcore.domain.answers import (
    Admission,
    Conflict,
    Duplicate,
    Enqueued,
    SweptByKind,
    SweptTask,
)
from qcore.domain.crash_isolation import CrashView, room_beside
from qcore.domain.effects import apply
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import advance
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import KEEP, REJECT, RERUN, NewTask, TaskId
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, ruled
from qcore.domain.run_details import DetailsUpdate, after, noted
from qcore.domain.states import ACTIVE, ENDED, GONE, State
from qcore.domain.statistics import Ending, tallied
from qcore.domain.task import (
    Claim,
    Lease,
    RetentionPolicy,
    Verdict,
    changed,
    state_of_new,
    token_floor,
)
from qcore.domain.transitions import Aggregated, Crashed, Due, Expired, RunNow, Transition, Updated

MAX_PROMOTED: Final = 1_000
"""Due tasks that one claim makes pending."""


class Queue(RestorableQueue):
    """One queue: what is done with its tasks, under its limits."""

    def __init__(self, name: str, *, token: int = 0) -> None:
        super().__init__(name)
        self.token = token
        """The last that was given."""
        self.limits = NO_LIMITS
        self._bucket_full: Moment = 0.0
        """When the bucket of the rate is full again (GCRA)."""
        self._endings: list[Ending] = []
        """What the call in hand has moved, to be counted at its end."""
        self.statistics = QueueStatistics()

    def add(self, spec: NewTask, now: Moment) -> Admission:
        """Store a new task, in place of an ended one of its id and a holder that gives way."""
        old, key = self.tasks.get(spec.id), spec.unique_key
        if old is not None or key is not None:
            in_the_way = self._replace_or_refuse(spec, old, now)
            if in_the_way is not None:
                return in_the_way
        state = state_of_new(spec, now)
        due = spec.due if state is State.SCHEDULED and spec.due is not None else now
        if key is not None:
            until = inf if spec.unique_for is None else now + spec.unique_for
            holder = self._holder(key, now)
            if holder is None:
                self._unique_holders[key] = spec.id, until
            else:
                # it runs, and keeps the key until it ends, as the successor is to come after it
                self._unique_holders[key] = holder.spec.id, inf
                self._successors[key] = spec.id, until, due
                state, due = State.SCHEDULED, LAST_MOMENT
        stored = self.tasks[spec.id] = StoredTask(spec, state, now, due, self._next_sequence())
        self._add_to_collection(stored, now)
        return Enqueued(spec.id, state)

    def _replace_or_refuse(
        self, spec: NewTask, old: StoredTask | None, now: Moment
    ) -> Conflict | Duplicate | None:
        """Remove the tasks that a new one replaces, or return why it is refused."""
        key = spec.unique_key
        holder = None if key is None else self._holder(key, now)
        gives_way: list[StoredTask] = []
        if key is not None and holder is not None and spec.on_duplicate != REJECT:
            if key in self._successors:
                gives_way.append(self.tasks[self._successors[key][0]])
            if holder.state is not State.ACTIVE:
                # behind its successor, which would otherwise be given the key
                gives_way.append(holder)
            elif spec.on_duplicate != RERUN:
                return self._refuse(spec, old) or Duplicate(holder.spec.id, holder.state)
        elif holder is not None:
            return self._refuse(spec, old) or Duplicate(holder.spec.id, holder.state)
        if old is not None and old not in gives_way:
            refused = self._refuse(spec, old)
            if refused is not None:
                return refused
            gives_way.append(old)
        for each in gives_way:
            self._remove(each)
        return None

    def _refuse(self, spec: NewTask, old: StoredTask | None) -> Conflict | None:
        """Return the conflict with the stored task of the same id, if there is one."""
        if old is None or (old.state in ENDED and spec.on_conflict != KEEP):
            return None
        return Conflict(spec.id, old.state)

    def promote(self, now: Moment) -> int:
        """Make due tasks pending; return how many."""
        for done in range(MAX_PROMOTED):
            first = self.waiting.first()
            if first is None or first[0] > now:
                return done
            stored = self.tasks[self.waiting.pop()]
            stored.sequence = self._next_sequence()
            self._transfer(stored, advance(stored, Due()))
        return MAX_PROMOTED

    def take(self, into: list[Claim], room: int, now: Moment, until: Moment) -> Sequence[SweptTask]:
        """Append up to `room` claims, as far as the limits allow; return the tasks that ended."""
        pending, tasks = self.pending, self.tasks
        if self.limits.rate is not None and pending and room > 0:
            full = self.limits.corrected(len(self.active), self._bucket_full, now)
            self._bucket_full = full
        room = min(room, self._free(now))
        # a list, as a generator takes twice as long
        if room > 0 and any([claim.task.crashes for claim in into]):  # noqa: C419
            room = int(min(room, room_beside(self._held(into))))
        before = len(into)
        ended: list[SweptTask] = []
        token = max(self.token, token_floor(now))
        # by `keys`, as a call for each task costs more
        active, name, left = self.active, self.name, pending.keys
        while room > 0 and left:
            stored = tasks[pending.pop()]
            spec = stored.spec
            if spec.expires is not None and spec.expires <= now:
                ended.append(self._overdue(stored, Expired(), now))
                continue
            if stored.crashes:
                beside = room_beside([*self._held(into), stored])
                if beside < 0:
                    pending.add((-spec.priority, stored.sequence), spec.id)
                    break
                room = int(min(room, beside + 1))
            if spec.expires is not None:
                self.expiring.discard(spec.id)
            self.token = token = token + 1
            stored.state = ACTIVE
            stored.token, stored.until = token, until
            stored.attempts += 1
            active[spec.id] = stored
            into.append(Claim(stored.to_task(), Lease(name, spec.id, token, until)))
            room -= 1
        if self.limits.rate is not None and len(into) > before:
            self._bucket_full = self.limits.rate.after(self._bucket_full, now, len(into) - before)
        return ended

    def _held(self, claims: Sequence[Claim]) -> list[CrashView]:
        """Return those of the claimed tasks that are of this queue."""
        return [claim.task for claim in claims if claim.task.spec.queue == self.name]

    def _free(self, now: Moment) -> int:
        """Return how many more tasks the limits allow to be claimed now."""
        return self.limits.free(len(self.active), self._bucket_full, now)

    @property
    def has_work(self) -> bool:
        """Whether a task is pending, or waits in a group."""
        return bool(self.pending) or bool(self._groups)

    def next_due(self) -> Moment | None:
        """Return when a task is due next, or the rate lets a pending one start."""
        first = self.waiting.first()
        due = None if first is None or first[0] >= LAST_MOMENT else first[0]
        start = (
            self.limits.next_start(len(self.active), self._bucket_full) if self.pending else None
        )
        return min((moment for moment in (due, start) if moment is not None), default=None)

    def set_limit(self, rule: LimitChange, now: Moment) -> Limits:
        """Change one limit, and return them all."""
        limits = ruled(self.limits, rule)
        if limits.rate != self.limits.rate:
            self._bucket_full = now
        self.limits = limits
        return limits

    def list_groups(self, after: str, limit: int) -> list[Group]:
        """Return groups in which tasks wait, in the order of their names, those behind one."""
        names = nsmallest(limit, (name for name in self._groups if name > after))
        return [
            Group(self.name, name, len(members), members[0].due, members[-1].due)
            for name in names
            if (members := self.members(name))
        ]

    def members(self, group: str) -> list[StoredTask]:
        """Return the tasks that wait in a group, those due first before the others."""
        tasks = [self.tasks[task] for task in self._groups.get(group, ())]
        return sorted(tasks, key=StoredTask.sort_key)

    def aggregate(
        self, group: str, ids: Sequence[TaskId], task: NewTask, now: Moment
    ) -> Admission | Stale:
        """Replace members of a group by one task; `Stale` if one of them no longer waits there."""
        waiting = self._groups.get(group, ())
        if not ids or not set(ids).issubset(waiting):
            return Stale()
        answer = self.add(task, now)
        if isinstance(answer, Enqueued):
            for each in ids:
                # the new task may have replaced a member that held its unique key, or its id
                stored = self.tasks.get(each)
                if stored is not None and stored.state is State.AGGREGATING:
                    self._transfer(stored, advance(stored, Aggregated()))
        return answer

    def move(
        self, stored: StoredTask, event: Transition, now: Moment, verdict: Verdict | None = None
    ) -> State:
        """Apply a transition, note it for the statistics, and return the new state."""
        state = advance(stored, event)
        self._endings.append((stored.spec.name, event, state, verdict))
        if state is GONE:
            # nothing is left of it that the transition could change
            self._remove(stored)
            return state
        apply(stored, event, now)
        stored.details = after(stored.details, event, stored.attempts, now)
        if isinstance(event, Updated):
            self._update(stored, changed(stored.spec, event))
            return state
        if isinstance(event, RunNow):
            stored.spec = evolve(stored.spec, expires=None)
            stored.sequence = self._next_sequence()
        self._transfer(stored, state, now)
        return state

    def _update(self, stored: StoredTask, spec: NewTask) -> None:
        """Change options of a task, and move it to where it then belongs."""
        finished = stored.finished
        self._remove_from_collection(stored, stored.spec.id)
        if spec.priority != stored.spec.priority:
            stored.sequence = self._next_sequence()
        stored.spec = spec
        self._add_to_collection(stored, finished or 0.0)

    def write(self, stored: StoredTask, note: DetailsUpdate) -> None:
        """Store a run's progress and saved work."""
        stored.details = noted(stored.details, note)
        if note.progress is not None:
            self._changed.append(stored.spec.id)

    def count_endings(self, now: Moment) -> None:
        """Add what ended by the moves of a call to the statistics."""
        if ended := tallied(self._endings):
            self.statistics.add(ended, now)
        self._endings.clear()

    def sweep(self, limit: int, now: Moment, keep: RetentionPolicy) -> SweptByKind:
        """Move and delete the tasks that are due for it, up to `limit` of each kind."""
        crashed, expired = self._crash(limit, now), self._expire(limit, now)
        # completed tasks are ordered by the end of their own retention, and have no maximum count
        trimmed: list[SweptTask] = []
        for state, policy in (
            (State.COMPLETED, RetentionPolicy(len(self.tasks), 0.0)),
            (State.ARCHIVED, keep),
            (State.DEAD, keep),
        ):
            trimmed += self._trim(state, limit - len(trimmed), now, policy)
        return crashed, expired, trimmed

    def _crash(self, limit: int, now: Moment) -> list[SweptTask]:
        """Take back up to `limit` active tasks whose lease has run out."""
        late = [stored for stored in self.active.values() if stored.until <= now]
        late.sort(key=lambda stored: (stored.until, stored.token))
        return [self._overdue(stored, Crashed(), now) for stored in late[:limit]]

    def _expire(self, limit: int, now: Moment) -> list[SweptTask]:
        """End up to `limit` pending tasks whose `expires` has passed."""
        done: list[SweptTask] = []
        while len(done) < limit:
            first = self.expiring.first()
            if first is None or first[0] > now:
                break
            done.append(self._overdue(self.tasks[self.expiring.pop()], Expired(), now))
        return done

    def _overdue(self, stored: StoredTask, event: Crashed | Expired, now: Moment) -> SweptTask:
        state, spec = self.move(stored, event, now), stored.spec
        return SweptTask(self.name, spec.id, state, event, spec.name, stored.attempts)

    def _trim(
        self, state: State, limit: int, now: Moment, keep: RetentionPolicy
    ) -> list[SweptTask]:
        """Delete up to `limit` tasks that ended so and are past their retention."""
        kept = self.ended[state]
        done: list[SweptTask] = []
        while len(done) < limit:
            first = kept.first()
            if first is None or (first[0] + keep.age > now and len(kept) <= keep.count):
                break
            stored = self.tasks[kept.pop()]
            self._remove(stored)
            done.append(SweptTask(self.name, stored.spec.id, State.GONE, name=stored.spec.name))
        return done
