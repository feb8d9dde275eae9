"""What has changed in a store: how many tasks each queue has by state, and which have got on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from attrs import field

from qcore.app.client.queries import STATES
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.ports import Counts

NONE: Final[Mapping[State, int]] = {}


@record
class QueueUpdate:
    """What has changed in a queue."""

    name: str
    sizes: Mapping[State, int] = field(hash=False)
    """Each state with its number of tasks, also where that is 0."""
    tasks: Sequence[TaskId] = ()
    """Tasks that have ended or reported progress, each once."""
    more: bool = False
    """Whether other tasks may have, too: there were more than are listed, or the broker does not
    say which."""


@record
class StoreUpdate:
    """What has changed since the last update."""

    at: Moment
    queues: Sequence[QueueUpdate]
    """In the order of their names; one that has become empty is among them."""
    is_whole: bool = False
    """Whether all queues are here that have tasks, whatever has changed: so it is in the first
    update, and in the first after an outage."""
    outage: str | None = None
    """Why the broker does not answer; None where it does."""


@record
class GatheredTasks:
    """The tasks of a queue that a subscriber was notified of."""

    ids: Sequence[TaskId] = ()
    more: bool = False
    """Whether there were more than could be kept."""
    is_vague: bool = False
    """Whether any task of the queue may have changed, too."""


NO_TASKS: Final = GatheredTasks()


def whole_update(at: Moment, counts: Counts) -> StoreUpdate:
    """Return how all queues stand."""
    queues = [QueueUpdate(name, _sizes(counts[name])) for name in sorted(counts)]
    return StoreUpdate(at, queues, is_whole=True)


def update_between(
    at: Moment, before: Counts, after: Counts, gathered: Mapping[str, GatheredTasks]
) -> StoreUpdate:
    """Return what differs between two counts, and the tasks that were notified of meanwhile."""
    return StoreUpdate(at, [*_changed(before, after, gathered)])


def _changed(
    before: Counts, after: Counts, gathered: Mapping[str, GatheredTasks]
) -> Iterator[QueueUpdate]:
    for name in sorted({*before, *after, *gathered}):
        sizes, tasks = after.get(name, NONE), gathered.get(name, NO_TASKS)
        differs = sizes != before.get(name, NONE)
        # without the ids of what has changed, what runs may have reported progress
        more = tasks.more or (tasks.is_vague and (differs or State.ACTIVE in sizes))
        if differs or tasks.ids or more:
            yield QueueUpdate(name, _sizes(sizes), tasks.ids, more)


def _sizes(held: Mapping[State, int]) -> Mapping[State, int]:
    return {state: held.get(state, 0) for state in STATES}


def names_in(counts: Counts, known: Collection[str], most: int) -> frozenset[str]:
    """Return at most so many queues to listen to: those with tasks before those that had some."""
    names = [*sorted(counts), *(name for name in sorted(known) if name not in counts)]
    return frozenset(names[:most])
