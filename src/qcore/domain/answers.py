"""The answers of a broker: each expected outcome of a call is a value of its own type."""

from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

from attrs import field

from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.transitions import Crashed, Expired

MAX_SWEPT_TASKS: Final = 1_000
"""Tasks that a `Swept` names: the number of all is in any case there."""


@record
class Enqueued:
    """The task is stored. `state` is scheduled, pending or aggregating."""

    id: TaskId
    state: State


@record
class Conflict:
    """A task of this id is in the queue already, in `state`; nothing was written.

    It lives, or has ended and is kept: by `on_conflict="keep"`, or as another was to be restored.
    """

    id: TaskId
    state: State


@record
class Duplicate:
    """A live task has the unique key already: `id`, in `state`; nothing was written."""

    id: TaskId
    state: State


Admission: TypeAlias = Enqueued | Duplicate | Conflict
"""The answer to one task of an enqueue."""


@record
class Restored:
    """The task is stored as it was, in `state`: its own, or pending where it was active."""

    id: TaskId
    state: State


Restoration: TypeAlias = Restored | Duplicate | Conflict
"""The answer to one task that is to be restored."""


@record
class Settled:
    """The verdict counted, and the task is now in `state` (gone: no longer stored)."""

    state: State


SETTLED: Final = {state: Settled(state) for state in State}
"""The answers to verdicts that counted, made once."""


@record
class LeaseLost:
    """The lease is over: somebody else has or had the task since. Nothing was written."""


@record
class UnreadableTask:
    """A claim found that what is stored of a task cannot be read, for the reason in `error`."""

    error: str


@record
class SweptTask:
    """A task that a sweep has moved, or a claim has ended instead of handing it out."""

    queue: str
    id: TaskId
    state: State
    """Where it is now: pending or dead; gone where it was trimmed."""
    transition: Crashed | Expired | UnreadableTask | None = None
    """What has happened to it; None where its time of keeping was over."""
    name: str | None = None
    """None of a trimmed task, where the store would have to read it for that, and where a name
    cannot be read."""
    attempts: int | None = None
    """How often it was started; None of a trimmed one."""


@record
class Swept:
    """How many tasks a sweep moved, and whether it stopped at its limit with more to do.

    Or those that a claim has ended, as `ClaimEndings` tells.
    """

    crashed: int = 0
    expired: int = 0
    trimmed: int = 0
    more: bool = False
    tasks: tuple[SweptTask, ...] = field(default=(), eq=False, repr=False)
    """The tasks themselves, `MAX_SWEPT_TASKS` at most."""
    unreadable: int = 0
    """Tasks that are dead because a claim could not read what is stored of them."""


SweptByKind: TypeAlias = tuple[list[SweptTask], list[SweptTask], list[SweptTask]]
"""What a sweep has moved in a queue: crashed, expired and trimmed tasks."""


def swept(queues: Iterable[SweptByKind], limit: int) -> Swept:
    """Return the answer of a sweep of some queues that moved at most `limit` of each kind."""
    every = [*queues]
    crashed, expired, trimmed = (sum(len(each[n]) for each in every) for n in range(3))
    more = any(len(kind) >= limit for each in every for kind in each)
    tasks = islice((task for each in every for kind in each for task in kind), MAX_SWEPT_TASKS)
    return Swept(crashed, expired, trimmed, more, (*tasks,))


@record
class Moved:
    """The operator's move was made; the task is now in `state`."""

    state: State


@record
class NotAllowed:
    """The table has no such move from `state`; nothing was written."""

    state: State


@record
class QueueRemoved:
    """Nothing is left of the queue."""


@record
class QueueNotEmpty:
    """The queue has so many tasks, or entries of periodic tasks; nothing was removed."""

    tasks: int
    entries: int = 0


@record
class Missing:
    """No task of that id is stored in that queue."""


def has_kind(answers: Iterable[object], kind: type) -> bool:
    """Return whether one of the answers to a batch is of a type.

    Asked of the few types that there are, and not of each answer: every batch is looked through.
    """
    return any(issubclass(each, kind) for each in set(map(type, answers)))
