"""A machine that drives any broker beside the memory broker, and compares every answer.

    TestMyBrokerMachine = broker_machine(make_broker).TestCase

What is compared: answers, tasks as `get` and `claim` show them, what `details` keeps of their runs,
the order of claims within each queue, counts, pages, the next moment due, entries of periodic tasks
and which of them are due, what was counted of all that ended. What is not, because a broker is free
in it: the values of tokens (they must only grow within a queue) and of revisions, the order of
claims between queues, how much of a sweep's work is done by one of several calls, whether a claim
ends the expired tasks that it does not come upon, and whether what follows one verdict of a batch
comes before the next verdict. Needs Hypothesis.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    message = "qcore.testing.machine needs Hypothesis: pip install 'qcore-queue[testing]'"
    raise ImportError(message) from error

from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.snapshots import SET_ASIDE, TaskSnapshot, in_queue
from qcore.domain.states import State
from qcore.domain.task import Claim, Demand, RetentionPolicy, Task
from qcore.domain.transitions import FOLLOWED, Command, Rescheduled, Transition
from qcore.ports import Broker, Capability
from qcore.testing import strategies
from qcore.testing.builders import NOW
from qcore.testing.differential import DRIVEN, MODEL, BrokerComparison, LeasePair, agree
from qcore.testing.statistics_rules import StatisticsRules
from qcore.testing.strategies import QUEUES

MakeBroker: TypeAlias = Callable[[RetentionPolicy], Broker]

RETENTION: Final = RetentionPolicy(age=8.0)
"""Seconds, few enough that the archive is trimmed within a run."""


class BrokerMachine(StatisticsRules):
    """Drives a broker and the memory broker through the same calls."""

    make_broker: ClassVar[MakeBroker]
    blocking: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self._comparison = BrokerComparison(
            type(self).make_broker(RETENTION), RETENTION, blocking=self.blocking
        )
        self._now = NOW
        self._moments = strategies.Moments()
        self._held: list[LeasePair] = []
        self._ended: list[LeasePair] = []
        self._shown: list[TaskSnapshot] = []

    def teardown(self) -> None:
        """Close both brokers."""
        self._comparison.close()

    def _has(self, *states: State) -> bool:
        return self._comparison.holds(*states) > 0

    def _known(self) -> list[LeasePair]:
        """Return the leases that a worker may know of: those held, the last first, and some ended.

        Those held may have been lost since.
        """
        return [*reversed(self._held), *self._ended]

    @initialize(tasks=strategies.TASKS, without=strategies.UNUSED_CAPABILITIES)
    def begin(self, tasks: list[strategies.TaskDraft], without: frozenset[Capability]) -> None:
        """There is work from the start, and some runs do without what others use."""
        self._without = without
        self.enqueue(0, tasks)

    @precondition(lambda self: self._has(State.SCHEDULED, State.RETRY, State.PENDING))
    @rule()
    def time_comes(self) -> None:
        """Time passes until the next task is due, or may start."""
        due = self._comparison.same(lambda broker: broker.next_due(QUEUES))
        self._now = max(self._now, due or self._now)

    @precondition(lambda self: self._comparison.holds(*State) < strategies.MAX_TASKS)
    @rule(wait=strategies.WAIT, tasks=strategies.TASKS)
    def enqueue(self, wait: int, tasks: list[strategies.TaskDraft]) -> None:
        """Tasks whose ids, priorities and moments collide."""
        self._pass(wait)
        made = [
            draft.build(self._moments, self._now, capabilities=self._capabilities)
            for draft in tasks
        ]
        self._comparison.same_list(lambda broker: broker.enqueue(made, now=self._now))

    @precondition(lambda self: self._has(State.PENDING, State.SCHEDULED, State.RETRY))
    @rule(
        wait=strategies.WAIT,
        limit=st.integers(0, 6),
        quotas=strategies.QUOTAS,
        ticks=strategies.TICKS,
    )
    def claim(self, wait: int, limit: int, quotas: dict[str, int], ticks: int) -> None:
        """Any room, any quotas within it."""
        self._pass(wait)
        self._claim(Demand(max(limit, sum(quotas.values())), quotas), ticks)

    @precondition(lambda self: self._has(State.PENDING))
    @rule(limit=st.integers(1, 4), outcome=strategies.OUTCOME)
    def work(self, limit: int, outcome: strategies.OutcomeDraft) -> None:
        """Tasks are claimed, and all leases held are settled with one outcome."""
        self._claim(Demand(limit, dict.fromkeys(QUEUES, 0)), 1_000)
        self._settle([(pair, self._event(outcome)) for pair in self._held])

    @precondition(lambda self: self._known())
    @rule(wait=strategies.WAIT, outcomes=st.lists(strategies.OUTCOME, min_size=1, max_size=4))
    def settle(self, wait: int, outcomes: list[strategies.OutcomeDraft]) -> None:
        """Verdicts on leases held, on leases lost and on leases that have ended."""
        self._pass(wait)
        known = self._known()
        pairs = [known[draft.lease % len(known)] for draft in outcomes]
        self._settle(list(zip(pairs, map(self._event, outcomes), strict=True)))

    @precondition(lambda self: self._known())
    @rule(wait=strategies.WAIT, drafts=strategies.DETAILS_UPDATES)
    def note(self, wait: int, drafts: list[strategies.DetailsDraft]) -> None:
        """Progress and saved work, under any lease that a worker may know of."""
        self._pass(wait)
        known = self._known()
        said = [(known[draft.lease % len(known)], draft) for draft in drafts]
        driven, model = (self._comparison.save_details(n, said, self._now) for n in (DRIVEN, MODEL))
        agree("the answer", driven, model)

    @precondition(lambda self: self._known())
    @rule(wait=strategies.WAIT, indexes=strategies.INDEXES, ticks=strategies.TICKS)
    def extend(self, wait: int, indexes: list[int], ticks: int) -> None:
        """Leases held, leases lost and leases that have ended."""
        self._pass(wait)
        known, until = self._known(), self._now + ticks * strategies.TICK
        pairs = [known[index % len(known)] for index in indexes]
        driven, model = (self._comparison.extend(n, pairs, until) for n in (DRIVEN, MODEL))
        agree("the list of the leases' new ends", driven, model)

    @precondition(lambda self: self._has(*State))
    @rule(
        wait=st.integers(0, 12_000),
        queues=st.lists(st.sampled_from(QUEUES), unique=True, min_size=1),
        limit=st.integers(1, 4),
    )
    def sweep(self, wait: int, queues: list[str], limit: int) -> None:
        """Sweep until nothing is left to do, a few tasks at a time."""
        self._pass(wait)
        driven, model = (
            self._comparison.sweep(n, queues, limit, self._now) for n in (DRIVEN, MODEL)
        )
        agree("the number of tasks that crashed, expired and were trimmed", driven, model)

    @precondition(lambda self: self._has(*State))
    @rule(
        queue=st.sampled_from(QUEUES),
        ids=st.lists(st.sampled_from(strategies.IDS), min_size=1, max_size=4),
        draft=strategies.COMMANDS,
    )
    def execute(self, queue: str, ids: list[str], draft: strategies.CommandDraft) -> None:
        """Commands, on tasks that are stored and on tasks that are not."""
        # one at a time, as of two tasks due at the same moment either may come first
        shared = [[task] for task in ids] if draft.kind is Rescheduled else [ids]
        for some in shared:
            made = draft.build(self._moments, self._now)
            self._comparison.same_list(
                partial(_ordered, queue=queue, ids=some, order=made, now=self._now)
            )

    @precondition(lambda self: self._has(*State))
    @rule(
        wait=strategies.WAIT,
        queue=st.sampled_from(QUEUES),
        ids=st.lists(st.sampled_from(strategies.IDS), min_size=1, max_size=4),
    )
    def show(self, wait: int, queue: str, ids: list[str]) -> None:
        """Tasks are remembered as they are, whatever becomes of them."""
        self._pass(wait)
        self._shown = self._comparison.snapshots(queue, ids)

    @precondition(
        lambda self: self._shown and self._comparison.holds(*State) < strategies.MAX_TASKS
    )
    @rule(wait=strategies.WAIT, queue=st.sampled_from(QUEUES), is_over=st.booleans())
    def restore(self, wait: int, queue: str, *, is_over: bool) -> None:
        """What was remembered is stored again, or elsewhere, perhaps over what was set aside."""
        self._pass(wait)
        snapshots = [_moved(each, queue) for each in self._shown]
        there = self._comparison.snapshots(queue, [each.task.id for each in snapshots])
        errors = [each.task.error for each in there if each.task.state in SET_ASIDE]
        over = errors[0] if is_over and errors else None
        self._comparison.same_list(
            lambda broker: broker.restore(snapshots, now=self._now, over=over)
        )

    @invariant()
    def both_hold_the_same(self) -> None:
        """Each id shows the same task and the same details, and the next moment due is the same."""
        for queue in QUEUES:
            self._compare(queue)

    def _compare(self, queue: str) -> None:
        self._comparison.same_list(lambda broker: broker.get(queue, strategies.IDS))
        self._comparison.same_list(lambda broker: broker.details(queue, strategies.IDS))
        self._comparison.same(lambda broker: broker.next_due([queue]))

    @invariant()
    def counts_agree_with_pages(self) -> None:
        """Every task is counted once and listed once, in the one state it has, in order."""
        counts = self._comparison.same(lambda broker: broker.count())
        for queue in QUEUES:
            listed: list[str] = []
            for state, number in counts.get(queue, {}).items():
                driven = self._comparison.pages(DRIVEN, queue, state, 2)
                agree(f"the number of {state} tasks on all pages", len(driven), number)
                assert number > 0, f"no task of {queue} is {state}, expected no count of them"
                model = self._comparison.pages(MODEL, queue, state, 100)
                agree(f"the list of {state} tasks", _listing(driven, state), _listing(model, state))
                listed += [task.id for task in driven]
            agree("the list of ids in all states", sorted(listed), sorted(set(listed)))

    def _claim(self, demand: Demand, ticks: int) -> None:
        until = self._now + ticks * strategies.TICK
        driven, model = self._comparison.both(
            lambda broker: broker.claim(demand, now=self._now, until=until)
        )
        for queue in QUEUES:
            ours, theirs = _of(queue, driven), _of(queue, model)
            agree("the list of claimed tasks", [c.task for c in ours], [c.task for c in theirs])
            self._held += map(self._comparison.paired, ours, theirs)
        agree("the number of claims", len(driven), len(model))
        self._end_the_expired()

    def _end_the_expired(self) -> None:
        """Sweep where a claim may have left expired tasks, as brokers may differ in how many."""
        pending = [
            task
            for which in (DRIVEN, MODEL)
            for queue in QUEUES
            for task in self._comparison.pages(which, queue, State.PENDING, 100)
        ]
        if any(t.spec.expires is not None and t.spec.expires <= self._now for t in pending):
            self._comparison.sweep(DRIVEN, QUEUES, 100, self._now)
            self._comparison.sweep(MODEL, QUEUES, 100, self._now)

    def _event(self, draft: strategies.OutcomeDraft) -> Transition:
        return draft.build(self._moments, self._now, capabilities=self._capabilities)

    def _settle(self, ends: Sequence[tuple[LeasePair, Transition]]) -> None:
        for batch in _batches(ends):
            driven, model = (self._comparison.settle(n, batch, self._now) for n in (DRIVEN, MODEL))
            agree("the answer", driven, model)
        ended = [pair for pair, _ in ends if pair in self._held]
        self._held = [pair for pair in self._held if pair not in ended]
        self._ended = [*ended, *self._ended][:4]


async def _ordered(
    broker: Broker, queue: str, ids: Sequence[TaskId], order: Command, now: Moment
) -> Sequence[Moved | NotAllowed | Missing]:
    return await broker.execute(queue, ids, order, now=now)


def _moved(snapshot: TaskSnapshot, queue: str) -> TaskSnapshot:
    """Return a task as it is to be restored in a queue."""
    return TaskSnapshot(in_queue(snapshot.task, queue), snapshot.details)


def _of(queue: str, claims: Sequence[Claim]) -> list[Claim]:
    return [claim for claim in claims if claim.lease.queue == queue]


def _batches(
    ends: Sequence[tuple[LeasePair, Transition]],
) -> Sequence[Sequence[tuple[LeasePair, Transition]]]:
    """Return what is settled together: nothing, if tasks follow, so that their order is plain."""
    if any(isinstance(event, FOLLOWED) and event.then for _, event in ends):
        return [[each] for each in ends]
    return [ends]


def _listing(tasks: list[Task], state: State) -> object:
    """Return what brokers must agree on: an order, or, among equals, the set and its keys."""
    match state:
        case State.PENDING | State.SCHEDULED | State.RETRY:
            return [task.id for task in tasks]
        case State.COMPLETED | State.ARCHIVED | State.DEAD:
            return [task.finished for task in tasks], {task.id for task in tasks}
        case _:
            return {task.id for task in tasks}


def broker_machine(
    make_broker: MakeBroker, *, blocking: bool = False
) -> type[RuleBasedStateMachine]:
    """Return a state machine that drives a broker and the memory broker through the same calls.

    `make_broker(keep)` returns a broker that is not open, on an empty store of its own each time.
    With `blocking`, it is `make_broker(keep).blocking()` that is driven, stepped without a loop.
    """
    attributes: dict[str, Any] = {"make_broker": staticmethod(make_broker), "blocking": blocking}
    return type("DrivenBroker", (BrokerMachine,), attributes)
