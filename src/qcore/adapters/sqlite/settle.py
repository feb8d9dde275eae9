"""`settle`: verdicts on claimed tasks, which end their leases."""

from collections.abc import Collection, Sequence

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.limits import read_limits
from qcore.adapters.sqlite.queue_rows import write_queues
from qcore.adapters.sqlite.task_state import TaskState
from qcore.adapters.sqlite.transitions import read_leased, write_tasks
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record
from qcore.domain.states import ACTIVE, ENDED
from qcore.domain.task import Verdict
from qcore.domain.transitions import FOLLOWED


@record
class SettleResult:
    """The answers to verdicts, and the queues whose subscribers may now find work."""

    answers: Sequence[Settled | LeaseLost]
    queues_with_work: Collection[str] = ()


def settle(tx: Tx, verdicts: Sequence[Verdict], now: Moment) -> SettleResult:
    """Apply each verdict to its task, and enqueue what follows."""
    tasks = read_leased(tx, [verdict.lease for verdict in verdicts])
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
    with_successors = write_tasks(tx, moved)
    touched = {task.queue_row.key: task.queue_row for task in moved}
    write_queues(tx, touched.values())
    with_work = {task.queue_row.name for task in moved if task.state not in ENDED}
    limits = read_limits(tx, touched)
    with_work.update(with_successors)
    with_work |= {touched[key].name for key, each in limits.items() if each.in_flight}
    if followups:
        # a follow-up has a derived id: a Conflict says that an earlier run has enqueued it
        enqueue(tx, followups, now)
        with_work |= {task.queue for task in followups}
    return SettleResult(answers, with_work)
