"""How leases end."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite import run_details
from qcore.adapters.sqlite.enqueue import enqueue
from qcore.adapters.sqlite.limits import limited
from qcore.adapters.sqlite.queue_rows import keep, lines
from qcore.adapters.sqlite.transitions import Moving, named, write
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.lifecycle import ACTIVE, ENDED, Succeeded
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.record import record
from qcore.domain.run_details import DetailsSaved, DetailsUpdate
from qcore.domain.task import Lease, Verdict


@record
class Ended:
    """What became of verdicts, and the queues in which there is something new to hand out."""

    answers: Sequence[Settled | LeaseLost]
    heard: Collection[str] = ()


def settle(tx: Tx, verdicts: Sequence[Verdict], now: Moment) -> Ended:
    """End leases."""
    tasks = held(tx, [verdict.lease for verdict in verdicts])
    answers: list[Settled | LeaseLost] = []
    moved: list[Moving] = []
    followed: list[NewTask] = []
    for verdict, task in zip(verdicts, tasks, strict=True):
        # the same lease twice is the same task, which the first verdict has moved
        if task is None or task.state is not ACTIVE:
            answers.append(LeaseLost())
        else:
            answers.append(Settled(task.move(verdict.outcome, now)))
            moved.append(task)
            if isinstance(verdict.outcome, Succeeded):
                followed += verdict.outcome.then
    write(tx, moved)
    touched = {task.line.key: task.line for task in moved}
    keep(tx, touched.values())
    heard = {task.line.name for task in moved if task.state not in ENDED}
    heard |= {touched[key].name for key, limits in limited(tx, touched).items() if limits.in_flight}
    if followed:
        # whoever is refused there is there already
        enqueue(tx, followed, now)
        heard |= {task.queue for task in followed}
    return Ended(answers, heard)


def save_details(tx: Tx, notes: Sequence[DetailsUpdate]) -> list[DetailsSaved | LeaseLost]:
    """Keep what runs say of themselves."""
    answers: list[DetailsSaved | LeaseLost] = []
    for task, each in zip(held(tx, [each.lease for each in notes]), notes, strict=True):
        if task is None:
            answers.append(LeaseLost())
        else:
            run_details.write(tx, task.key, each.progress, each.saved)
            answers.append(DetailsSaved())
    return answers


def held(tx: Tx, leases: Sequence[Lease]) -> list[Moving | None]:
    """Return each lease's task, None where the token is not its current one."""
    ids: defaultdict[str, list[TaskId]] = defaultdict(list)
    for lease in leases:
        ids[lease.queue].append(lease.id)
    tasks = {name: named(tx, line, ids[name]) for name, line in lines(tx, ids).items()}
    return [_current(tasks.get(lease.queue, {}).get(lease.id), lease) for lease in leases]


def _current(task: Moving | None, lease: Lease) -> Moving | None:
    # a task that is not active has the token 0, which no lease has
    if task is None or task.token != lease.token or task.state is not ACTIVE:
        return None
    return task
