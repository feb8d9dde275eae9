"""Where tasks lie: queues and ids, as the values of statements that name them."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from qcore.adapters.links.postgres import Values
from qcore.adapters.links.postgres.arrays import numbers, texts
from qcore.domain.new_task import TaskId
from qcore.domain.task import Lease

Place: TypeAlias = tuple[str, TaskId]
"""A queue and an id."""


def in_order(named: Iterable[Place]) -> Values:
    """Return the values of a statement that names tasks, each once, as it locks them.

    Those who lock the same wait for each other one way round alone.
    """
    return places(sorted({*named}))


def of_queue(queue: str, ids: Iterable[TaskId]) -> Values:
    """Return the values of a statement that names tasks of one queue."""
    return places([(queue, task) for task in ids])


def places(pairs: Sequence[Place]) -> Values:
    """Return the values of a statement that names tasks, as they come."""
    return {
        "queues": texts([queue for queue, _ in pairs]),
        "ids": texts([task for _, task in pairs]),
    }


def leases(named: Iterable[Lease]) -> Values:
    """Return the values of a statement that names leases."""
    ordered = sorted(named, key=lambda lease: (lease.queue, lease.id))
    return {
        "queues": texts([lease.queue for lease in ordered]),
        "ids": texts([lease.id for lease in ordered]),
        "tokens": numbers([lease.token for lease in ordered]),
    }
