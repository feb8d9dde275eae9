"""The reference broker: exact, small, and gone with its process."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve

from qcore.adapters.memory.periodic import MemoryPeriodic
from qcore.adapters.memory.queue import Queue
from qcore.adapters.memory.stored_task import StoredTask
from qcore.adapters.memory.subscriptions import Subscriber
from qcore.domain.answers import (
    SETTLED,
    Admission,
    Enqueued,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    QueueNotEmpty,
    QueueRemoved,
    Restoration,
    Settled,
    Swept,
    SweptByKind,
    SweptTask,
    swept,
)
from qcore.domain.diagnostics import Finding, Grade
from qcore.domain.ended_tasks import EndedTasks
from qcore.domain.groups import Stale, check_aggregate
from qcore.domain.lifecycle import MOVES, IllegalMove
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.run_details import DetailsSaved, DetailsUpdate
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import ACTIVE, ENDED
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Verdict, token_floor
from qcore.domain.transitions import FOLLOWED, Command
from qcore.domain.workers import WorkerInfo
from qcore.ports import Capability, Kinds, Notify

DEFAULT_RETENTION: Final = RetentionPolicy()


class MemoryBroker(MemoryPeriodic):
    """Keep tasks in this process."""

    capabilities: frozenset[Capability] = frozenset(
        {
            Capability.UNIQUE,
            Capability.GROUPS,
            Capability.LIMITS,
            Capability.PERIODIC,
            Capability.STATISTICS,
            Capability.WORKERS,
            Capability.CLAIM_ENDINGS,
        }
    )

    def __init__(self, *, keep: RetentionPolicy = DEFAULT_RETENTION) -> None:
        super().__init__()
        self._keep = keep
        self._ended_tasks = EndedTasks()

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
        self._subscribers.tell_of_work({task.queue for task in tasks})
        return answers

    async def restore(
        self, snapshots: Sequence[TaskSnapshot], *, now: Moment, over: str | None = None
    ) -> Sequence[Restoration]:
        """Store tasks as they were."""
        seen: set[tuple[str, TaskId]] = set()
        answers: list[Restoration] = []
        with self._lock:
            for each in snapshots:
                key = each.queue, each.task.id
                # what this very call has restored is replaced by nothing
                replaces = None if key in seen else over
                seen.add(key)
                answers.append(self._queue(each.queue).restore(each, now, replaces))
        self._subscribers.tell_of_work({each.queue for each in snapshots})
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        """Take tasks, each under a lease that ends at `until`."""
        claims: list[Claim] = []
        ended: list[SweptTask] = []
        promoted = 0
        with self._lock:
            served = [(self._queues[q], n) for q, n in demand.quotas.items() if q in self._queues]
            for queue, _ in served:
                promoted += queue.promote(now)
            for queue, quota in served:
                ended += queue.take(claims, min(quota, demand.limit - len(claims)), now, until)
            for queue, _ in served:
                ended += queue.take(claims, demand.limit - len(claims), now, until)
                queue.count_endings(now)
        self._ended_tasks.add(ended)
        with_work = {queue.name for queue, _ in served if queue.has_work} if promoted else ()
        self._tell(with_work, demand.quotas)
        return claims

    def take_ended(self) -> Sequence[Swept]:
        """Return the tasks that claims have ended, and forget them."""
        return self._ended_tasks.take()

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        """Apply verdicts to claimed tasks, which ends their leases."""
        legal = MOVES[ACTIVE]
        for verdict in verdicts:
            # before the first is applied: a batch is applied whole or not at all
            if type(verdict.outcome) not in legal:
                raise IllegalMove(f"{verdict.outcome!r} is no verdict on an active task")
        answers: list[Settled | LeaseLost] = []
        with_work: set[str] = set()
        touched = {verdict.lease.queue for verdict in verdicts}
        with self._lock:
            for verdict in verdicts:
                stored, outcome = self._holder(verdict.lease), verdict.outcome
                if stored is None:
                    answers.append(LeaseLost())
                    continue
                queue = self._queues[verdict.lease.queue]
                state = queue.move(stored, outcome, now, verdict)
                answers.append(SETTLED[state])
                if state not in ENDED or queue.limits.in_flight:
                    with_work.add(queue.name)
                if isinstance(outcome, FOLLOWED) and outcome.then:
                    with_work |= self._follow_up(outcome.then, now)
            for queue in self._known(touched):
                queue.count_endings(now)
        self._tell(with_work, touched)
        return answers

    def _follow_up(self, tasks: Sequence[NewTask], now: Moment) -> set[str]:
        """Enqueue follow-ups, unless their ids are stored already; return their queues."""
        for task in tasks:
            self._queue(task.queue).add(task, now)
        return {task.queue for task in tasks}

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        """Store progress and saved work of running tasks."""
        with self._lock:
            answers = [self._write(note) for note in updates]
        self._tell((), {note.lease.queue for note in updates})
        return answers

    def _write(self, note: DetailsUpdate) -> DetailsSaved | LeaseLost:
        stored = self._holder(note.lease)
        if stored is None:
            return LeaseLost()
        self._queues[note.lease.queue].write(stored, note)
        return DetailsSaved()

    async def extend(
        self,
        leases: Sequence[Lease],
        *,
        until: Moment,
    ) -> Sequence[Lease | LeaseLost]:
        """Renew leases."""
        with self._lock:
            return [self._renew(lease, until) for lease in leases]

    def _renew(self, lease: Lease, until: Moment) -> Lease | LeaseLost:
        stored = self._holder(lease)
        if stored is None:
            return LeaseLost()
        stored.until = until
        return evolve(lease, until=until)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        """Take back tasks of lost workers, end expired ones, trim those kept long enough."""
        done: list[SweptByKind] = []
        with self._lock:
            for queue in self._known(queues):
                done.append(queue.sweep(limit, now, self._keep))
                queue.count_endings(now)
        answer = swept(done, limit)
        self._tell(queues if answer.crashed else (), queues)
        return answer

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        """Return when the next scheduled or retrying task of these queues is due."""
        with self._lock:
            moments = [queue.next_due() for queue in self._known(queues)]
        return min((moment for moment in moments if moment is not None), default=None)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscriber:
        """Call `notify` with each notification of these kinds about these queues."""
        return self._subscribers.add(queues, kinds, notify)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], command: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        """Carry out a command on tasks of one queue."""
        with self._lock:
            stored_queue = self._queues.get(queue)
            active = {} if stored_queue is None else stored_queue.active
            tokens = {task: active[task].token for task in ids if task in active}
            answers = [self._carry_out(queue, i, command, now) for i in ids]
            if stored_queue is not None:
                stored_queue.count_endings(now)
            revoked = [token for task, token in tokens.items() if task not in active]
        self._tell({queue}, {queue})
        self._subscribers.tell_of_ended(queue, revoked)
        return answers

    async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
        """Remove a queue that has no tasks."""
        with self._lock:
            removed = self._queues.get(queue)
            tasks, entries = len(removed.tasks) if removed else 0, self.entry_store.number(queue)
            if tasks or entries:
                return QueueNotEmpty(tasks, entries)
            self._queues.pop(queue, None)
            if removed is not None and removed.token > token_floor(now):
                # the clock has not passed it: a queue of this name must not give it again
                self._queues[queue] = Queue(queue, token=removed.token)
        return QueueRemoved()

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        """Change one of a queue's limits, and return them all."""
        with self._lock:
            limits = self._queue(queue).set_limit(change, now)
        self._tell({queue}, ())
        return limits

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        """Replace members of a group by one task, in one step."""
        check_aggregate(queue, ids, task)
        with self._lock:
            answer = self._queue(queue).aggregate(group, ids, task, now)
        if isinstance(answer, Enqueued):
            self._subscribers.tell_of_work({queue})
        return answer

    async def announce(self, info: WorkerInfo) -> None:
        """List a worker, and remove those that have expired."""
        with self._lock:
            listed = {**self._workers, info.id: info}
            self._workers = {each: it for each, it in listed.items() if it.expires > info.seen}

    async def withdraw(self, worker: str) -> None:
        """Remove a worker."""
        with self._lock:
            self._workers.pop(worker, None)

    async def diagnose(self) -> Sequence[Finding]:
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
        self, queue: str, task: TaskId, order: Command, now: Moment
    ) -> Moved | NotAllowed | Missing:
        stored_queue = self._queues.get(queue)
        stored = None if stored_queue is None else stored_queue.tasks.get(task)
        if stored_queue is None or stored is None:
            return Missing()
        if type(order) not in MOVES[stored.state]:
            return NotAllowed(stored.state)
        return Moved(stored_queue.move(stored, order, now))

    def _holder(self, lease: Lease) -> StoredTask | None:
        """Return a lease's task, None where the lease's token is not the task's current one."""
        queue = self._queues.get(lease.queue)
        stored = None if queue is None else queue.active.get(lease.id)
        return stored if stored is not None and stored.token == lease.token else None

    def _tell(self, with_work: Iterable[str], touched: Iterable[str]) -> None:
        """Notify subscribers, outside the lock: a callback may wait for another thread."""
        with self._lock:
            known = self._known(touched)
            changed = {queue.name: queue.pop_changed() for queue in known}
            due_now = {queue.name for queue in known if queue.pop_new_work()}
        self._subscribers.tell_of_work(due_now.union(with_work))
        self._subscribers.tell_of_tasks({queue: ids for queue, ids in changed.items() if ids})
