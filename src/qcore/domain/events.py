"""Events: the facts that instruments are told, in the past tense."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

from attrs import field

from qcore.domain.answers import Admission, LeaseLost, Settled, Swept
from qcore.domain.errors import InvalidTask
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.periodic.entry import StoredEntry
from qcore.domain.record import record
from qcore.domain.task import Claim, Verdict
from qcore.domain.transitions import Succeeded, Transition


@record
class WorkerStarted:
    """A worker is about to claim its first task."""

    queues: Sequence[str]
    tasks: Mapping[str, str] = field(factory=dict[str, str])
    """What it has handlers for: names and prefixes, with the queue that the tasks of each go to."""
    store: str = ""
    """Where tasks wait: the URL without its password, or the name of the broker's class."""


@record
class WorkerPaused:
    """A worker claims no more, and goes on with what it has."""


@record
class WorkerStopping:
    """A worker claims no more, and stops when its tasks have ended or `grace` seconds are over."""

    grace: float
    running: int


@record
class WorkerStopped:
    """A worker has ended."""

    released: int


@record
class WorkerFailed:
    """A worker could not start, or has ended with an error, which its `run` raises."""

    error: Exception


@record
class TasksEnqueued:
    """A client has asked the broker for tasks; each answer is at its task's place."""

    tasks: Sequence[NewTask]
    answers: Sequence[Admission | InvalidTask]


@record
class TasksClaimed:
    """Tasks were claimed."""

    claims: Sequence[Claim]


@record
class TaskStarted:
    """A handler is about to run."""

    claim: Claim


@record
class TaskFinished:
    """A handler has ended."""

    claim: Claim
    outcome: Transition
    seconds: float
    """How long it ran."""


@record
class TasksSettled:
    """Verdicts were written, or came too late; each answer is at its verdict's place."""

    verdicts: Sequence[Verdict]
    answers: Sequence[Settled | LeaseLost]
    claims: Sequence[Claim]
    """What was claimed, each at the place of its verdict."""

    @cached_property
    def all_succeeded(self) -> bool:
        """Whether all runs have succeeded, and in time, as those of most batches have."""
        # loops, not `all`: every task pays for this, and a generator would cost it three times
        for verdict in self.verdicts:
            if type(verdict.outcome) is not Succeeded:
                return False
        return {*map(type, self.answers)} <= {Settled}


@record
class TasksSwept:
    """Tasks were moved by no run: workers were lost, they had expired, or were kept long enough.

    A sweep has moved them; or a claim has ended them, as they had expired or could not be read.
    """

    swept: Swept


@record
class TasksAggregated:
    """Tasks of a group have become one."""

    group: str
    members: Sequence[TaskId]
    task: NewTask


@record
class AggregationFailed:
    """A group could not be aggregated: its members wait, and it is tried again in `again_in` s."""

    group: Group
    error: Exception
    again_in: float


@record
class NoAggregator:
    """Tasks wait in a group, and this worker has no aggregator for it; told once for its kind."""

    group: Group


@record
class PeriodicTicked:
    """A tick has made tasks of a periodic entry; each admission is at its task's place."""

    entry: StoredEntry
    """As it is after the tick."""
    tasks: Sequence[NewTask]
    admissions: Sequence[Admission]


@record
class PeriodicMissed:
    """Ticks of a periodic entry have passed without a task, as nobody made it in time."""

    entry: StoredEntry
    """As it is after that."""
    ticks: int
    """How many, at least: of very many not all are counted."""


@record
class PeriodicFailed:
    """A periodic entry cannot be carried out here, or is not declared; told once for each."""

    queue: str
    name: str
    error: Exception


@record
class LeaseWasLost:
    """Somebody else has the task now; its handler here is being cancelled."""

    claim: Claim


@record
class NoHandler:
    """A task was put back, because this worker has no handler for its name, or cannot read it."""

    claim: Claim
    unknown_format: str | None = None
    """What its handler here does not know: an argument or the content type. None for no handler."""


@record
class LoopBlocked:
    """A handler keeps the event loop from turning; `stack` says where it stands."""

    seconds: float
    stack: str


@record
class BrokerFailed:
    """A call of the broker failed, and is tried again in `again_in` seconds."""

    call: str
    error: Exception
    again_in: float


@record
class BrokerRecovered:
    """The broker answers again after `failures` failed calls."""

    call: str
    failures: int


@record
class Operated:
    """An operator has moved tasks, or changed a queue or an entry: once for each step of many."""

    at: Moment
    action: str
    """Such as "run", "pause queue", "remove entry"."""
    queue: str
    by: str
    """Who did it."""
    reason: str | None = None
    detail: str = ""
    """What the action does not say: a new moment, the names of changed options, a limit."""
    tasks: tuple[TaskId, ...] = ()
    """Those that were moved."""
    entry: str | None = None
    """The periodic task that it was about."""


@record
class BrokerCalled:
    """A call of the broker has ended: of a client's, a worker's or an inspector's."""

    verb: str
    """Its name in the port."""
    seconds: float
    """How long it took."""
    tasks: int = 0
    """How many tasks it was about: those given to it, or those that it gave."""
    error: BaseException | None = None
    """What it raised."""


Event: TypeAlias = (
    WorkerStarted
    | WorkerPaused
    | WorkerStopping
    | WorkerStopped
    | WorkerFailed
    | TasksEnqueued
    | TasksClaimed
    | TaskStarted
    | TaskFinished
    | TasksSettled
    | TasksSwept
    | TasksAggregated
    | AggregationFailed
    | NoAggregator
    | PeriodicTicked
    | PeriodicMissed
    | PeriodicFailed
    | LeaseWasLost
    | NoHandler
    | LoopBlocked
    | BrokerFailed
    | BrokerRecovered
    | Operated
    | BrokerCalled
)
