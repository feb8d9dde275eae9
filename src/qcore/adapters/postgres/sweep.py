"""`sweep`: take back tasks of lost workers, end expired ones, trim what was kept long enough."""

from collections.abc import Sequence
from math import inf
from typing import Final

from qcore.adapters.links.postgres import Row, Tx
from qcore.adapters.links.postgres.arrays import texts
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames, record
from qcore.adapters.postgres.transitions import delete_tasks, read_overdue, write_tasks
from qcore.domain.answers import Swept, SweptByKind, SweptTask, swept
from qcore.domain.moments import Moment
from qcore.domain.record import record as record_class
from qcore.domain.states import ENDED, State
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Crashed, Expired
from qcore.ports import TasksChanged

_SQL: Final = statements("sweep")


@record_class
class SweepRequest:
    """The arguments of a sweep, and what ends in it; `limit` is for each queue and kind of move."""

    queues: Sequence[str]
    limit: int
    retention: RetentionPolicy
    now: Moment


async def sweep(tx: Tx, request: SweepRequest, known: KnownNames) -> Swept:
    """Move and delete the tasks that are due for it, up to the limit."""
    queues = [*dict.fromkeys(request.queues)]
    values = {
        "queues": texts(queues),
        "now": request.now,
        "count": request.retention.count,
        "before": request.now - request.retention.age,
    }
    if request.limit < 1 or not await tx.alone(_SQL["anything"], values):
        return Swept()
    await tx.fetch(_SQL["touch"], {"queues": texts(queues)})
    endings = Endings()
    done: list[SweptByKind] = [
        (
            await _move(tx, Crashed(), queue, request, endings),
            await _move(tx, Expired(), queue, request, endings),
            await _trim(tx, queue, request),
        )
        for queue in queues
    ]
    await record(tx, endings, known)
    return swept(done, request.limit)


async def _move(
    tx: Tx,
    transition: Crashed | Expired,
    queue: str,
    request: SweepRequest,
    endings: Endings,
) -> list[SweptTask]:
    """Move the tasks that are overdue in one way."""
    values = {"queue": queue, "now": request.now, "limit": request.limit}
    tasks = await read_overdue(tx, type(transition), values, endings)
    for task in tasks:
        task.move(transition, request.now)
    with_successors = await write_tasks(tx, tasks)
    if tasks:
        # an ended task may have kept others from being claimed, as it counted as active
        tx.tell_of_work({queue, *with_successors})
        ended = tuple(task.id for task in tasks if task.state in ENDED)
        tx.tell(*([TasksChanged(queue, ended)] if ended else ()))
    return [task.swept(transition) for task in tasks]


async def _trim(tx: Tx, queue: str, request: SweepRequest) -> list[SweptTask]:
    """Delete ended tasks that are past their retention."""
    values = {"queue": queue, "now": request.now, "limit": request.limit}
    done = _delete(tx, await tx.fetch(_SQL["retention_over"], values))
    for state in (State.ARCHIVED, State.DEAD):
        if len(done) < request.limit:
            done += await _trim_ended(tx, queue, state, request, request.limit - len(done))
    return done


async def _trim_ended(
    tx: Tx, queue: str, state: State, request: SweepRequest, limit: int
) -> list[SweptTask]:
    policy = request.retention
    place = {"queue": queue, "state": str(state)}
    excess = await tx.fetch(_SQL["excess"], {**place, "count": policy.count})
    finished, sequence = excess[0] if excess else (-inf, 0)
    values = {
        **place,
        "finished": finished,
        "sequence": sequence,
        "before": request.now - policy.age,
        "limit": limit,
    }
    return _delete(tx, await tx.fetch(_SQL["past_retention"], values))


def _delete(tx: Tx, rows: Sequence[Row]) -> list[SweptTask]:
    delete_tasks(tx, [(queue, task) for queue, task, _ in rows])
    return [SweptTask(queue, task, State.GONE, name=name) for queue, task, name in rows]
