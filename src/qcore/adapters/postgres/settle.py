"""`settle`: verdicts on claimed tasks, which end their leases."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.postgres import Tx, Values
from qcore.adapters.links.postgres.arrays import numbers, row_places
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.enqueue import enqueue
from qcore.adapters.postgres.limits import read_limits
from qcore.adapters.postgres.plain_leases import PlainLease, PlainLeases
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames, record, values_of_successes
from qcore.adapters.postgres.task_state import TaskState
from qcore.adapters.postgres.transitions import read_leased, write_tasks
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.decisions import settled
from qcore.domain.moments import Moment
from qcore.domain.states import ENDED, State
from qcore.domain.task import Verdict
from qcore.ports import TasksChanged

_SQL: Final = statements("settle")

KEPT_STATES: Final = ENDED - {State.GONE}
_GONE: Final = Settled(State.GONE)


class Settling:
    """A call of `settle`: what a statement of its own has committed is not done again.

    A transaction's function is run again where others wrote the same at the same time.
    """

    def __init__(
        self, verdicts: Sequence[Verdict], now: Moment, known: KnownNames, plain: PlainLeases
    ) -> None:
        self._verdicts = verdicts
        self._now = now
        self._known = known
        self._plain = plain
        self._leases = plain.of(verdicts)
        self._committed: frozenset[int] = frozenset()
        """The tokens of the leases whose tasks are gone, whatever becomes of the others."""
        self.given_back: set[str] = set()
        """The queues in which tasks are pending again."""

    async def __call__(self, tx: Tx) -> list[Settled | LeaseLost]:
        """Apply each verdict to its task, and enqueue what follows."""
        gone = self._committed
        if not gone and self._leases is not None:
            gone = await self._succeed(tx, self._leases)
            if not tx.has_begun:
                self._committed = gone
        if len(gone) < len(self._verdicts):
            return await self._settle_others(tx, gone)
        self._forget()
        return [_GONE] * len(self._verdicts)

    def _forget(self) -> None:
        self._plain.forget(verdict.lease for verdict in self._verdicts)

    async def _succeed(self, tx: Tx, known: Sequence[PlainLease]) -> frozenset[int]:
        """Delete the tasks that a success ends without more to decide, and count them.

        In one statement; where a lease is lost, nothing is counted. Return the tokens of those
        that were deleted.
        """
        names = [each.name for each in known]
        counted = values_of_successes(names, self._verdicts, self._now, self._known)
        if counted is None:
            return frozenset()
        values = {**counted, "number": len(known), **_places(self._verdicts, known)}
        ((number, tokens, limited),) = await tx.alone(_SQL["succeed"], values)
        if number and limited:
            # one that is no longer active may have kept others of its queue from being claimed
            tx.tell_of_work({verdict.lease.queue for verdict in self._verdicts})
        if number == len(known):
            return frozenset(verdict.lease.token for verdict in self._verdicts)
        return frozenset(tokens or ())

    async def _settle_others(self, tx: Tx, gone: frozenset[int]) -> list[Settled | LeaseLost]:
        endings = Endings()
        self.given_back.clear()
        others = [verdict for verdict in self._verdicts if verdict.lease.token not in gone]
        for verdict, each in zip(self._verdicts, self._leases or (), strict=False):
            if verdict.lease.token in gone:
                ending = (each.name, verdict.outcome, State.GONE, verdict)
                endings.add(verdict.lease.queue, ending, self._now)
        answers = await _settle(tx, others, self._now, endings)
        for verdict, answer in zip(others, answers, strict=True):
            if isinstance(answer, Settled) and answer.state is State.PENDING:
                self.given_back.add(verdict.lease.queue)
        await record(tx, endings, self._known)
        self._forget()
        told = iter(answers)
        return [_GONE if verdict.lease.token in gone else next(told) for verdict in self._verdicts]


def _places(verdicts: Sequence[Verdict], known: Sequence[PlainLease]) -> Values:
    """Return where the rows of leases lie, in the order in which others lock them."""
    pairs = [(verdict.lease, each.place) for verdict, each in zip(verdicts, known, strict=True)]
    pairs.sort(key=lambda pair: (pair[0].queue, pair[0].id))
    return {
        "places": row_places([place for _, place in pairs]),
        "tokens": numbers([lease.token for lease, _ in pairs]),
    }


async def _settle(
    tx: Tx, verdicts: Sequence[Verdict], now: Moment, endings: Endings
) -> list[Settled | LeaseLost]:
    tasks = await read_leased(tx, [verdict.lease for verdict in verdicts], endings)
    done = settled(verdicts, tasks, now)
    if done.moved:
        tx.tell_of_work(await write_tasks(tx, done.moved))
        await _tell(tx, done.moved)
    if done.follow_ups:
        # a follow-up has a derived id: a Conflict says that an earlier run has enqueued it
        await enqueue(tx, done.follow_ups, now)
    return done.answers


async def _tell(tx: Tx, moved: Sequence[TaskState]) -> None:
    """Tell of the tasks that are kept, and of the queues that may now have something to claim."""
    ended: dict[str, list[str]] = {}
    for task in moved:
        if task.state in KEPT_STATES:
            ended.setdefault(task.queue, []).append(task.id)
    tx.tell(*(TasksChanged(queue, tuple(ids)) for queue, ids in ended.items()))
    tx.tell_of_work({task.queue for task in moved if task.state not in ENDED})
    limited = await read_limits(tx, {task.queue for task in moved})
    tx.tell_of_work(queue for queue, each in limited.items() if each.limits.in_flight)
