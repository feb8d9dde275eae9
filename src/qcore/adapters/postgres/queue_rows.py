"""`count`, `statistics` and `remove_queue`: what concerns queues as a whole."""

from collections.abc import Sequence
from typing import Final

from qcore.adapters.links.postgres import Tx
from qcore.adapters.postgres import statistics
from qcore.adapters.postgres.records import STATES
from qcore.adapters.postgres.statements import statements
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.statistics import Resolution, StatisticsRow

_SQL: Final = statements("queues")


async def count_tasks(tx: Tx) -> dict[str, dict[State, int]]:
    """Return the number of tasks by queue and state, without zeros."""
    counts: dict[str, dict[State, int]] = {}
    for queue, state, number in await tx.fetch(_SQL["count"], {}):
        if state in STATES:
            counts.setdefault(queue, {})[STATES[state]] = number
    return counts


async def read_statistics(
    tx: Tx, queues: Sequence[str] | None, since: Moment, until: Moment, resolution: Resolution
) -> list[StatisticsRow]:
    """Return what ended in queues, in all if they are None, by queue, period and name."""
    if queues is None:
        queues = [name for (name,) in await tx.fetch(_SQL["counted"], {})]
    return await statistics.read(tx, dict.fromkeys(queues), since, until, resolution)


async def remove_queue(tx: Tx, queue: str) -> QueueRemoved | QueueNotEmpty:
    """Delete the limits and the statistics of a queue without tasks and entries.

    Tokens are of one sequence for all queues: nothing else is left of it.
    """
    values = {"queue": queue}
    ((tasks,),) = await tx.fetch(_SQL["any_task"], values)
    ((entries,),) = await tx.fetch(_SQL["count_entries"], values)
    if tasks or entries:
        return QueueNotEmpty(tasks, entries)
    tx.add(_SQL["remove_limits"], values)
    tx.add(_SQL["remove_statistics"], values)
    return QueueRemoved()
