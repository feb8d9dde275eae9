"""Differential testing: the same calls to a broker and to the memory broker, answers compared."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.run_details import DetailsSaved
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Claim, Lease, RetentionPolicy, Task, Verdict
from qcore.domain.transitions import Transition
from qcore.ports import Broker, Capability
from qcore.testing.contract.base import step
from qcore.testing.optional_ports import aggregating
from qcore.testing.strategies import DetailsDraft

T = TypeVar("T")

DRIVEN: Final = 0
MODEL: Final = 1


@record
class LeasePair:
    """One lease, as both brokers gave it."""

    driven: Lease
    model: Lease

    def of(self, which: int) -> Lease:
        """Return it as one of the two gave it."""
        return self.driven if which == DRIVEN else self.model


class BrokerComparison:
    """Two brokers that must answer alike; the second is the memory broker."""

    def __init__(self, broker: Broker, keep: RetentionPolicy, *, blocking: bool) -> None:
        self._loop = None if blocking else asyncio.new_event_loop()
        driven = broker.blocking() if blocking else broker
        self._brokers: tuple[Broker, Broker] = (driven, MemoryBroker(keep=keep))
        self._tokens: dict[tuple[int, str], int] = {}
        self.both(lambda broker: broker.open())

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the driven one can do beyond the port."""
        return self._brokers[DRIVEN].capabilities

    def close(self) -> None:
        """Close both, and the loop they ran on."""
        self.both(lambda broker: broker.close())
        if self._loop is not None:
            self._loop.close()

    def ask(self, which: int, call: Callable[[Broker], Awaitable[T]]) -> T:
        """Ask one of the two."""

        async def answer() -> T:
            return await call(self._brokers[which])

        return step(answer()) if self._loop is None else self._loop.run_until_complete(answer())

    def both(self, call: Callable[[Broker], Awaitable[T]]) -> tuple[T, T]:
        """Ask both."""
        return self.ask(DRIVEN, call), self.ask(MODEL, call)

    def same(self, call: Callable[[Broker], Awaitable[T]]) -> T:
        """Ask both, and fail unless they answer the same."""
        driven, model = self.both(call)
        agree("the answer", driven, model)
        return driven

    def same_list(self, call: Callable[[Broker], Awaitable[Sequence[T]]]) -> None:
        """Ask both for a sequence; which kind of sequence it is, is a broker's own choice."""
        driven, model = self.both(call)
        agree("the answer", list(driven), list(model))

    def settle(
        self, which: int, ends: Sequence[tuple[LeasePair, Transition]], now: Moment
    ) -> list[Settled | LeaseLost]:
        """Settle leases as one of the two gave them."""
        verdicts = [Verdict(pair.of(which), outcome, *_times(pair)) for pair, outcome in ends]
        return list(self.ask(which, lambda broker: broker.settle(verdicts, now=now)))

    def save_details(
        self, which: int, said: Sequence[tuple[LeasePair, DetailsDraft]], now: Moment
    ) -> list[DetailsSaved | LeaseLost]:
        """Make notes under leases as one of the two gave them."""
        notes = [draft.build(pair.of(which), now) for pair, draft in said]
        return list(self.ask(which, lambda broker: broker.save_details(notes)))

    def extend(self, which: int, pairs: Sequence[LeasePair], until: Moment) -> list[Moment | None]:
        """Renew leases as one of the two gave them; return their new ends, None for a lost one."""
        asked = [pair.of(which) for pair in pairs]
        answers = self.ask(which, lambda broker: broker.extend(asked, until=until))
        for lease, answer in zip(asked, answers, strict=True):
            if not isinstance(answer, LeaseLost):
                agree("the renewed lease", answer, _until(lease, until))
        return [None if isinstance(answer, LeaseLost) else answer.until for answer in answers]

    def sweep(
        self, which: int, queues: Sequence[str], limit: int, now: Moment
    ) -> tuple[int, int, int]:
        """Sweep one of the two to the end; return what was crashed, expired and trimmed in all."""
        total = (0, 0, 0)
        while True:
            swept = self.ask(which, lambda broker: broker.sweep(queues, limit, now=now))
            moved = (swept.crashed, swept.expired, swept.trimmed)
            most = limit * len(queues)
            assert max(moved) <= most, f"{moved} were moved of a kind, expected at most {most}"
            total = (total[0] + moved[0], total[1] + moved[1], total[2] + moved[2])
            # one that moved something may have taken back a task that the next finds expired
            if not any(moved):
                assert not swept.more, "a sweep that moved nothing says that there is more"
                return total

    def pages(self, which: int, queue: str, state: State, limit: int) -> list[Task]:
        """Browse one of the two to the end."""
        tasks: list[Task] = []
        cursor: str | None = None
        while True:
            page = self._page(which, queue, state, limit, cursor)
            assert len(page[0]) <= limit, f"a page of {len(page[0])}, expected at most {limit}"
            tasks += page[0]
            cursor = page[1]
            if cursor is None:
                return tasks

    def _page(
        self, which: int, queue: str, state: State, limit: int, cursor: str | None
    ) -> tuple[Sequence[Task], str | None]:
        page = self.ask(which, lambda broker: broker.browse(queue, state, limit, cursor=cursor))
        return page.tasks, page.cursor

    def paired(self, driven: Claim, model: Claim) -> LeasePair:
        """Fail unless two claims are the same but for their tokens, and each token grew."""
        agree("the claimed task", driven.task, model.task)
        agree("the lease, but for its token,", _token(driven.lease, 0), _token(model.lease, 0))
        return LeasePair(self._grown(DRIVEN, driven.lease), self._grown(MODEL, model.lease))

    def _grown(self, which: int, lease: Lease) -> Lease:
        last = self._tokens.get((which, lease.queue), 0)
        assert lease.token > last, f"token {lease.token} came after {last} in {lease.queue}"
        self._tokens[which, lease.queue] = lease.token
        return lease

    def groups(self, queues: Sequence[str]) -> list[Group]:
        """Return the groups that the memory broker has in these queues."""
        found = [self.ask(MODEL, partial(_groups, queue)) for queue in queues]
        return [group for groups in found for group in groups]

    def snapshots(self, queue: str, ids: Sequence[TaskId]) -> list[TaskSnapshot]:
        """Return tasks as the memory broker shows them, but for those that are not stored."""
        tasks = self.ask(MODEL, lambda broker: broker.get(queue, ids))
        details = self.ask(MODEL, lambda broker: broker.details(queue, ids))
        pairs = zip(tasks, details, strict=True)
        return [TaskSnapshot(task, kept) for task, kept in pairs if task and kept]

    def holds(self, *states: State) -> int:
        """Return how many tasks the memory broker has in these states."""
        counts = self.ask(MODEL, lambda broker: broker.count())
        return sum(queue.get(state, 0) for queue in counts.values() for state in states)


def agree(what: str, driven: object, model: object) -> None:
    """Fail, and say what it is about, unless the driven broker gave what the memory broker did."""
    assert driven == model, f"{what} is {driven!r}, expected {model!r}"


def _times(pair: LeasePair) -> tuple[float | None, float | None]:
    """Return for how long a task waited and ran: anything, as long as both are told the same."""
    seconds = pair.model.until % 64
    if seconds < 16:
        return None, seconds
    return seconds, None if seconds < 32 else seconds / 1_000


async def _groups(queue: str, broker: Broker) -> Sequence[Group]:
    return await aggregating(broker).groups(queue, 100)


def _until(lease: Lease, until: Moment) -> Lease:
    return Lease(lease.queue, lease.id, lease.token, until)


def _token(lease: Lease, token: int) -> Lease:
    return Lease(lease.queue, lease.id, token, lease.until)
