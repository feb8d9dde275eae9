"""Estimate how many bytes the tasks of a queue have in them, from a sample of each state."""

from collections.abc import Mapping
from typing import Final

from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.ports import Broker

DEFAULT_SAMPLE: Final = 100
"""Tasks of each state that are weighed."""


@record
class QueueSize:
    """How many bytes the tasks of a queue have in them."""

    bytes: int
    """Of arguments, results, errors, headers, tags, ids, names and groups. What a store adds, such
    as its indexes, and what is kept of runs besides, is not in it."""
    is_exact: bool
    """Whether all tasks were weighed; else their number is multiplied by the mean of a sample."""


async def queue_size(broker: Broker, queue: str, sample: int) -> QueueSize:
    """Weigh at most `sample` tasks of each state, the first as `browse` has them."""
    held: Mapping[State, int] = (await broker.count()).get(queue, {})
    total, is_exact = 0.0, True
    for state, number in held.items():
        page = await broker.browse(queue, state, sample)
        if page.tasks:
            mean = sum(weight(task) for task in page.tasks) / len(page.tasks)
            total += mean * max(number, len(page.tasks))
        is_exact = is_exact and page.cursor is None
    return QueueSize(round(total), is_exact)


def weight(task: Task) -> int:
    """Return how many bytes a task has in it."""
    spec = task.spec
    texts = (spec.id, spec.name, spec.group or "", spec.unique_key or "", task.error or "")
    pairs = [*spec.headers.keys(), *spec.headers.values(), *spec.tags]
    written = sum(len(text.encode("utf-8", "surrogatepass")) for text in (*texts, *pairs))
    return written + len(spec.payload) + len(task.result or b"")
