"""How leases end."""

from collections import defaultdict
from collections.abc import Sequence

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.lines import keep, lines
from qcore.adapters.sqlite.moving import Moving, named, write
from qcore.domain.lifecycle import State
from qcore.domain.moments import Moment
from qcore.domain.task import Lease, LeaseLost, Settled, TaskId, Verdict


def settle(tx: Tx, verdicts: Sequence[Verdict], now: Moment) -> list[Settled | LeaseLost]:
    """End leases."""
    tasks = held(tx, [verdict.lease for verdict in verdicts])
    answers: list[Settled | LeaseLost] = []
    moved: list[Moving] = []
    for verdict, task in zip(verdicts, tasks, strict=True):
        # the same lease twice is the same task, which the first verdict has moved
        if task is None or task.state is not State.ACTIVE:
            answers.append(LeaseLost())
        else:
            answers.append(Settled(task.move(verdict.outcome, now)))
            moved.append(task)
    write(tx, moved)
    keep(tx, {task.line.key: task.line for task in moved}.values())
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
    if task is None or task.token != lease.token or task.state is not State.ACTIVE:
        return None
    return task
