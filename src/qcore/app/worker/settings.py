"""The settings of a worker, checked when they are made."""

import os
from collections.abc import Iterable, Mapping, Sequence
from socket import gethostname
from typing import Final, TypedDict

from attrs import Factory, field

from qcore.app.tasks.aggregators import AggregationTiming, checked
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import DEFAULT_QUEUE, MAX_NAME, NewTask
from qcore.domain.queue_weights import QueueWeights, Strict, Weighted
from qcore.domain.record import record
from qcore.domain.retry import RetryPolicy
from qcore.domain.task_fields import NUMBERS
from qcore.domain.workers import ANNOUNCE_EVERY

MAX_SIZE: Final = 1_000_000
"""Tasks in hand, threads or processes: more is a misspelling, and no store takes such a number."""
MAX_SECONDS: Final = 31_536_000
"""A year: a lease or a grace without end would never give a lost worker's tasks back."""

MAX_VERSION: Final = 64
"""Characters: a tag, or a commit."""


def _processors() -> int:
    return os.cpu_count() or 1


def _myself() -> str:
    return f"{gethostname()}:{os.getpid()}"


def _own_queues(
    queues: Mapping[str, int] | Sequence[str] | None,
) -> Mapping[str, int] | Sequence[str] | None:
    """Return a copy that nobody can change after it was checked."""
    if queues is None or isinstance(queues, Mapping):
        return None if queues is None else dict(queues)
    if isinstance(queues, str | bytes) or not isinstance(queues, Iterable):
        raise InvalidOption(f"queues is {queues!r}: expected [{queues!r}]")
    return tuple(queues)


class WorkerOptions(TypedDict, total=False):
    """The fields of `WorkerSettings` as keywords; what is not given has its default.

    `Unpack` takes a TypedDict alone and attrs makes none of a class, so the fields are here once
    more. A test holds the two equal.
    """

    queues: Mapping[str, int] | Sequence[str] | None
    strict: bool
    concurrency: int
    threads: int
    process_pool: int
    lease: float
    grace: float
    sweep_every: float
    announce_every: float
    policy: RetryPolicy | None
    group_grace: float
    group_max_delay: float | None
    group_max_size: int | None
    scheduler: bool
    burst: bool
    max_tasks: int | None
    name: str
    app_version: str | None


@record
class WorkerSettings:
    """How a worker works. Durations are in seconds; see `docs/reference/worker-settings.md`."""

    queues: Mapping[str, int] | Sequence[str] | None = field(default=None, converter=_own_queues)
    """Queue to weight; or queues of equal weight, or in order of precedence if `strict`. None for
    "default" and every queue that a handler names."""
    strict: bool = False
    """Whether a queue is served only when those before it are empty."""
    concurrency: int = 100
    """Tasks that run at a time, of whatever kind."""
    threads: int = 32
    """The size of the pool for plain functions."""
    process_pool: int = Factory(_processors)
    """The size of the pool of child processes for handlers with `process=True`."""
    lease: float = 30.0
    """How long a task stays with a worker that does not renew its lease."""
    grace: float = 25.0
    """How long a worker that stops waits for what runs."""
    sweep_every: float = 4.0
    """How often it sweeps for leases and tasks that have run out, give or take a tenth."""
    announce_every: float = ANNOUNCE_EVERY
    """How often it says in the broker what it does; it is listed for three times as long."""
    policy: RetryPolicy | None = None
    """For handlers that have none of their own; None for the queue's."""
    group_grace: float = 60.0
    """How long after its last member joined a group is aggregated; this and the next two are for
    aggregators that do not say."""
    group_max_delay: float | None = None
    """How long after its first member joined a group is aggregated at the latest; None for no
    limit."""
    group_max_size: int | None = None
    """The number of members at which a group is aggregated at once; None for 1,000, the most."""
    scheduler: bool = True
    """Whether to make the ticks of periodic tasks, beside running tasks."""
    burst: bool = False
    """Whether to stop when there is nothing to do."""
    max_tasks: int | None = None
    """The number of runs after which to stop, as a cure for handlers that leak; None for never."""
    name: str = Factory(_myself)
    """Who it is, in the errors of tasks; by default the host's name and the process id."""
    app_version: str | None = None
    """The version of the application that it runs, such as a tag or a commit: it is kept with each
    error of a task, and announced. None for not known."""

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOption` for a setting that no worker can work with."""
        for name in ("concurrency", "threads", "process_pool"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= MAX_SIZE:
                raise InvalidOption(
                    f"{name} is {value!r}: expected a whole number from 1 to {MAX_SIZE:,}"
                )
        if self.max_tasks is not None and (type(self.max_tasks) is not int or self.max_tasks < 1):
            raise InvalidOption(f"max_tasks is {self.max_tasks!r}: expected None or 1 and more")
        for name in ("lease", "sweep_every", "announce_every"):
            value = getattr(self, name)
            if type(value) not in NUMBERS or not 0 < value <= MAX_SECONDS:
                raise InvalidOption(
                    f"{name} is {value!r}: expected more than 0 seconds, at most {MAX_SECONDS:,}"
                )
        if type(self.grace) not in NUMBERS or not 0 <= self.grace <= MAX_SECONDS:
            raise InvalidOption(
                f"grace is {self.grace!r}: expected 0 or more seconds, at most {MAX_SECONDS:,}"
            )
        _check_name("name", self.name, MAX_NAME)
        if self.app_version is not None:
            _check_name("app_version", self.app_version, MAX_VERSION)
        _ = self.group_timing
        for queue in self.queue_weights([]).queues:
            # a name that no queue can have is a misspelling, and nothing would ever come from it
            NewTask("?", id="?", queue=queue)

    @property
    def group_timing(self) -> AggregationTiming:
        """Return when groups are aggregated whose aggregators do not say."""
        try:
            return checked(self.group_grace, self.group_max_delay, self.group_max_size)
        except InvalidOption as error:
            raise InvalidOption(f"group_{error}") from None

    def queue_weights(self, named: Sequence[str]) -> QueueWeights:
        """Return how to divide room between the queues; `named` are those that handlers name."""
        queues = self.queues
        if queues is None:
            if self.strict:
                raise InvalidOption("strict is set without queues: name them, the first first")
            queues = [DEFAULT_QUEUE, *named]
        if self.strict:
            return Strict(list(queues))
        if isinstance(queues, Mapping):
            return Weighted(queues)
        return Weighted(dict.fromkeys(queues, 1))


def _check_name(what: str, name: object, most: int) -> None:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= most:
        raise InvalidOption(f"{what} is {name!r:.80}: expected 1 to {most} printable characters")
