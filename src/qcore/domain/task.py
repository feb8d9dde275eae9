"""A task as it is stored, the right to run it, and what was decided of it."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import field

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import CHANGEABLE, NewTask, TaskId, another
from qcore.domain.origin import Origin, origin_in
from qcore.domain.record import record
from qcore.domain.states import PENDING, State
from qcore.domain.transitions import Transition, Updated


def state_of_new(task: NewTask, now: Moment) -> State:
    """Return the state in which a task begins that is enqueued now."""
    if task.due is not None and task.due > now:
        return State.SCHEDULED
    return PENDING if task.group is None else State.AGGREGATING


def updated(**changes: Any) -> Updated:
    """Return the order to change what was asked for; raise `InvalidTask` for a wrong value."""
    if unknown := sorted(changes.keys() - CHANGEABLE):
        raise InvalidTask(
            f"{unknown[0]} cannot be changed: expected one of {', '.join(sorted(CHANGEABLE))}"
        )
    # as a new task would have them: checked, and converted where its fields convert
    checked = NewTask("of any name", id="of-any-id", **changes)
    return Updated({name: getattr(checked, name) for name in changes})


def changed(task: NewTask, order: Updated) -> NewTask:
    """Return a task as an order changes it; what it says was checked when it was made."""
    made: Any = another(task, task.id, task.payload)
    for name, value in order.changes.items():
        setattr(made, name, value)
    asked: NewTask = made
    return asked


@record
class Lease:
    """The right to run one task until a moment.

    `token` only grows within a queue: hand it to whatever you write to, and let that refuse a
    smaller one than it has seen (Kleppmann, "How to do distributed locking", 2016).
    """

    queue: str
    id: TaskId
    token: int
    until: Moment


MAX_TIME_TOKEN: Final = 4_000_000_000_000_000
"""The microseconds of the year 2096: a double counts exactly a little further only, and tokens have
to go on growing by one."""


def token_floor(now: Moment) -> int:
    """Return the number that every token given at `now` is greater than: `now` in microseconds.

    A store that was restored from a copy, or lost its last writes, has forgotten tokens that it has
    given. They were given earlier, so those of its next claims are greater all the same.
    """
    return int(max(0.0, min(now * 1e6, MAX_TIME_TOKEN)))


@record
class Task:
    """A task as the broker has it: what was asked for, and how far it has come."""

    spec: NewTask
    state: State
    created: Moment
    due: Moment
    """When it was or will be ready to run."""
    attempts: int = 0
    """Runs started."""
    failures: int = 0
    """Runs that failed and burned a retry."""
    crashes: int = 0
    """Runs whose worker was lost."""
    error: str | None = None
    """What the last failure said, or why the task is dead."""
    finished: Moment | None = None
    """When it was completed, archived or dead."""
    result: bytes | None = field(default=None, repr=False)
    result_type: str | None = None
    """The content type of `result`."""
    unhandled_since: Moment | None = None
    """Since when every worker that claimed it had no handler for it."""

    @property
    def id(self) -> TaskId:
        """Return its id."""
        return self.spec.id

    @property
    def name(self) -> str:
        """Return its type."""
        return self.spec.name

    @property
    def queue(self) -> str:
        """Return its queue."""
        return self.spec.queue

    @property
    def origin(self) -> Origin | None:
        """Return what it came from: a task, a group or a tick; None where it was just enqueued."""
        return origin_in(self.spec.headers, self.spec.queue)


@record
class Claim:
    """A task to run, and the right to run it. Its state is active, this attempt counted."""

    task: Task
    lease: Lease


@record
class Verdict:
    """The outcome of a claimed task; beside a command, the only thing that ends its lease."""

    lease: Lease
    outcome: Transition
    """A row of "active" in `MOVES`."""
    waited: float | None = None
    """Seconds from the moment at which the task was due to the start of its handler."""
    ran: float | None = None
    """Seconds from there to the handler's end; None, as `waited`, where no handler was called."""


@record
class Demand:
    """How many tasks a worker has room for, and how it divides them between its queues.

    `limit` in all; each queue's quota first, in the order given, then what room is left from the
    queues in the order given.
    """

    limit: int
    quotas: Mapping[str, int] = field(hash=False)
    """Queue to a number from 0; at most `limit` together."""


@record
class RetentionPolicy:
    """How many archived, and how many dead tasks a queue keeps, and for how long."""

    count: int = 10_000
    age: float = 90 * 86_400.0
    """Seconds."""
