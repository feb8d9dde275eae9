"""`settle`: verdicts on claimed tasks, which end their leases."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.enqueue import enqueue
from qcore.adapters.postgres.limits import read_limits
from qcore.adapters.postgres.places import leases
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames, record
from qcore.adapters.postgres.task_state import TaskState
from qcore.adapters.postgres.transitions import read_leased, write_tasks
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.decisions import settled
from qcore.domain.moments import Moment
from qcore.domain.states import ENDED, State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import TasksChanged

_SQL: Final = statements("settle")

KEPT_STATES: Final = ENDED - {State.GONE}
_GONE: Final = Settled(State.GONE)


async def settle(
    tx: Tx, verdicts: Sequence[Verdict], now: Moment, known: KnownNames
) -> list[Settled | LeaseLost]:
    """Apply each verdict to its task, and enqueue what follows."""
    endings = Endings()
    gone: set[Lease] = set()
    if _are_plain(verdicts):
        gone = await _succeed(tx, verdicts, now, endings)
    others = [verdict for verdict in verdicts if verdict.lease not in gone] if gone else verdicts
    answers = iter(await _settle_others(tx, others, now, endings) if others else ())
    await record(tx, endings, known)
    return [_GONE if verdict.lease in gone else next(answers) for verdict in verdicts]


def _are_plain(verdicts: Sequence[Verdict]) -> bool:
    """Return whether they are of runs that succeeded, with nothing to follow; no task twice."""
    for verdict in verdicts:
        if type(verdict.outcome) is not Succeeded or verdict.outcome.then:
            return False
    return len({(each.lease.queue, each.lease.id) for each in verdicts}) == len(verdicts)


async def _succeed(
    tx: Tx, verdicts: Sequence[Verdict], now: Moment, endings: Endings
) -> set[Lease]:
    """Delete the tasks that a success ends without more to decide; return their leases."""
    rows = await tx.fetch(_SQL["succeed"], leases(verdict.lease for verdict in verdicts))
    names = {(queue, task): name for queue, task, name, _ in rows}
    gone: set[Lease] = set()
    for verdict in verdicts:
        lease = verdict.lease
        name = names.get((lease.queue, lease.id))
        if name is not None:
            gone.add(lease)
            endings.add(lease.queue, (name, verdict.outcome, State.GONE, verdict), now)
    if rows and rows[0][-1]:
        # one that is no longer active may have kept others of its queue from being claimed
        tx.tell_of_work({lease.queue for lease in gone})
    return gone


async def _settle_others(
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
