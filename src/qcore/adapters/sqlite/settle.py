"""`settle`: verdicts on claimed tasks, which end their leases."""

from collections.abc import Collection, Sequence

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.limits import read_limits
from qcore.adapters.sqlite.queue_rows import write_queues
from qcore.adapters.sqlite.transitions import read_leased, write_tasks
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.decisions import settled
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.states import ENDED
from qcore.domain.task import Verdict


@record
class SettleResult:
    """The answers to verdicts, and the queues whose subscribers may now find work."""

    answers: Sequence[Settled | LeaseLost]
    queues_with_work: Collection[str] = ()


def settle(tx: Tx, verdicts: Sequence[Verdict], now: Moment) -> SettleResult:
    """Apply each verdict to its task, and enqueue what follows."""
    tasks = read_leased(tx, [verdict.lease for verdict in verdicts])
    done = settled(verdicts, tasks, now)
    moved = done.moved
    with_successors = write_tasks(tx, moved)
    touched = {task.queue_row.key: task.queue_row for task in moved}
    write_queues(tx, touched.values())
    with_work = {task.queue_row.name for task in moved if task.state not in ENDED}
    limits = read_limits(tx, touched)
    with_work.update(with_successors)
    with_work |= {touched[key].name for key, each in limits.items() if each.in_flight}
    if done.follow_ups:
        # a follow-up has a derived id: a Conflict says that an earlier run has enqueued it
        enqueue(tx, done.follow_ups, now)
        with_work |= {task.queue for task in done.follow_ups}
    return SettleResult(done.answers, with_work)
