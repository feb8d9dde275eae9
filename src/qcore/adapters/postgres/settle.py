"""`settle`: verdicts on claimed tasks, which end their leases."""

from collections.abc import Sequence

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.enqueue import enqueue
from qcore.adapters.postgres.limits import read_limits
from qcore.adapters.postgres.statistics import KnownNames, record
from qcore.adapters.postgres.task_state import TaskState
from qcore.adapters.postgres.transitions import read_leased, write_tasks
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import ACTIVE, ENDED, State
from qcore.domain.task import Verdict
from qcore.domain.transitions import FOLLOWED
from qcore.ports import TasksChanged

KEPT_STATES = ENDED - {State.GONE}


async def settle(
    tx: Tx, verdicts: Sequence[Verdict], now: Moment, known: KnownNames
) -> list[Settled | LeaseLost]:
    """Apply each verdict to its task, and enqueue what follows."""
    endings = Endings()
    tasks = await read_leased(tx, [verdict.lease for verdict in verdicts], endings)
    answers: list[Settled | LeaseLost] = []
    moved: list[TaskState] = []
    followups: list[NewTask] = []
    for verdict, task in zip(verdicts, tasks, strict=True):
        # a lease named twice has one TaskState, which its first verdict has moved
        if task is None or task.state is not ACTIVE:
            answers.append(LeaseLost())
        else:
            answers.append(Settled(task.move(verdict.outcome, now, verdict)))
            moved.append(task)
            if isinstance(verdict.outcome, FOLLOWED):
                followups += verdict.outcome.then
    if not moved:
        return answers
    tx.tell_of_work(await write_tasks(tx, moved))
    await record(tx, endings, known)
    await _tell(tx, moved)
    if followups:
        # a follow-up has a derived id: a Conflict says that an earlier run has enqueued it
        await enqueue(tx, followups, now)
    return answers


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
