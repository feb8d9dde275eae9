"""The context of a run: what its handler can read of it, and ask of the worker."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from attrs import field

from qcore.app.calls.call import CallChain, TaskRequest
from qcore.app.calls.chain_steps import CHAIN_HEADERS
from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.run_details import RunStorage
from qcore.domain.errors import InvalidOption, InvalidTask, QcoreError
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.ids import follow_up_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, another
from qcore.domain.origin import ORIGIN, following
from qcore.domain.periodic.tick import TICK, Tick, tick_in
from qcore.domain.record import record
from qcore.domain.task import Claim, Lease, Task
from qcore.log.logger import get_logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T")

BuildTask: TypeAlias = Callable[[TaskRequest], NewTask]
"""Returns the task to be stored for a request; raises `InvalidTask` if it is wrong."""

MAX_FOLLOW_UPS: Final = 100
"""Follow-ups of one run: they are written in the one atomic step that settles it."""

_follow_up_lock: Final = threading.Lock()
"""A handler may add follow-ups from several threads. One lock serves all runs: it is held for
microseconds, and to make one for each run would cost every run."""


class NoState(QcoreError, LookupError):
    """No lifespan of this worker yields an object of the type asked for."""


@record
class RunServices:
    """What the contexts of a worker's runs share: its lifespans' objects, and what they call."""

    state: Mapping[type, Any] = field(factory=dict[type, Any])
    """What the lifespans yielded, by type."""
    replaced: Mapping[type, Any] = field(factory=dict[type, Any])
    """What a test has put in the place of what is yielded, by type."""
    build: BuildTask | None = None
    storage: RunStorage | None = None
    worker: str = ""
    """The worker's name."""


NO_SERVICES: Final = RunServices()

_NOTHING: Final[Mapping[type, Any]] = FrozenDict()


class Context:
    """One run of one task: the first argument of every handler.

    Plain data and a few conveniences; made by hand for a direct call in a test with
    `qcore.testing.a_context()`.
    """

    __slots__ = (
        "_amend",
        "_follow_ups",
        "_headers",
        "_is_cancelled",
        "_is_over",
        "_log",
        "_provided",
        "_services",
        "cancel_reason",
        "claim",
        "deadline",
        "lease",
    )

    _headers: dict[str, str]
    _amend: Callable[[dict[str, str]], None]
    _provided: Mapping[type, Any]
    _log: "FilteringBoundLogger"

    def __init__(
        self, claim: Claim, services: RunServices = NO_SERVICES, *, deadline: Moment | None = None
    ) -> None:
        self.claim = claim
        self.lease: Lease = claim.lease
        """The lease of this run; `lease.token` fences what the handler writes elsewhere."""
        self.deadline = deadline
        """When this run is cut short: the earlier of its timeout and the task's deadline."""
        self.cancel_reason: CancelReason | None = None
        """Why the worker ends this run early; None while it does not."""
        self._services = services
        self._is_cancelled = False
        self._follow_ups: tuple[NewTask, ...] = ()
        self._is_over = False

    @property
    def task(self) -> Task:
        """Return the task as it was when claimed."""
        return self.claim.task

    @property
    def id(self) -> str:
        """Return the task's id."""
        return self.claim.task.spec.id

    @property
    def name(self) -> str:
        """Return the task's name."""
        return self.claim.task.spec.name

    @property
    def queue(self) -> str:
        """Return the task's queue."""
        return self.claim.task.spec.queue

    @property
    def worker(self) -> str:
        """Return the name of the worker that runs this, as it is in errors of its tasks.

        The host's and the process id, unless the worker was given another; empty in a context that
        was made by hand.
        """
        return self._services.worker

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the task's headers, without the later steps of its chain, its tick and its origin.

        A handler that passes its headers on to another task must not pass these on too. They are
        this run's own copy: to change them changes nothing of the task.
        """
        try:
            return self._headers
        except AttributeError:
            # copied when they are asked for: few handlers ask
            headers = {**self.claim.task.spec.headers}
            for name in (*CHAIN_HEADERS, TICK, ORIGIN):
                headers.pop(name, None)
            self._headers = headers
            amend = getattr(self, "_amend", None)
            if amend is not None:
                amend(headers)
            return headers

    def amend_headers(self, amend: Callable[[dict[str, str]], None]) -> None:
        """Have a function change this run's copy of the headers, as soon as anybody asks for it."""
        if hasattr(self, "_amend") or hasattr(self, "_headers"):
            # what was to be changed before comes first
            _ = self.headers
            amend(self._headers)
        else:
            self._amend = amend

    @property
    def own_headers(self) -> Mapping[str, str] | None:
        """Return this run's copy of the headers; None where nobody has asked for or amends it."""
        return self.headers if hasattr(self, "_amend") else getattr(self, "_headers", None)

    @own_headers.setter
    def own_headers(self, headers: Mapping[str, str] | None) -> None:
        if headers is not None:
            self._headers = dict(headers)

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the task's tags, sorted."""
        return self.claim.task.spec.tags

    @property
    def tick(self) -> Tick | None:
        """Return the tick of a periodic task that this task is for; None of any other task."""
        return tick_in(self.claim.task.spec.headers)

    @property
    def attempt(self) -> int:
        """Return the number of this run, from 1; snoozes and crashes count as runs too."""
        return self.claim.task.attempts

    @property
    def failures(self) -> int:
        """Return how many retries have been burned so far."""
        return self.claim.task.failures

    @property
    def max_retry(self) -> int:
        """Return how many retries there are in all."""
        return self.claim.task.spec.max_retry

    @property
    def is_cancelled(self) -> bool:
        """Return whether this run should end: timed out, lease lost, or the worker is leaving.

        A coroutine is cancelled as well; a thread has to look here.
        """
        return self._is_cancelled

    def cancel(self) -> None:
        """Ask the handler to end."""
        self._is_cancelled = True

    def then(self, request: TaskRequest | CallChain[Any]) -> NewTask:
        """Enqueue a task in the same atomic step in which this one succeeds, or not at all.

        `request` is a call, `task.call(…)`, a chain, or a `NewTask`. Returns the task that will be
        stored if this run succeeds: its id follows from this task's and from how many were asked
        for before, unless the caller gave one, so that a run that is repeated adds nothing twice.
        Raises `InvalidTask` as `enqueue` would, and for more than 100 in one run. May be called
        from any thread.
        """
        build = self._services.build
        if build is None:
            raise InvalidOption(
                "this context cannot enqueue follow-ups: expected a worker's context, or "
                "qcore.testing.a_context(); with process=True, a handler declared with @q.task"
            )
        call = request.call if isinstance(request, CallChain) else request
        task = build(call)
        with _follow_up_lock:
            if len(self._follow_ups) >= MAX_FOLLOW_UPS:
                raise InvalidTask(
                    f"{task.name}: a run may ask for {MAX_FOLLOW_UPS} follow-ups at most: let one "
                    "of them ask for the others"
                )
            if not isinstance(call, NewTask) and "task_id" not in call.template.options:
                task = another(task, self._next_id(), task.payload)
            task = following(task, self.claim.task.spec)
            self._follow_ups = (*self._follow_ups, task)
        # checked after the follow-up was added, so that ending a run needs no lock
        if self._is_over:
            raise InvalidTask(f"{task.name}: the run of {self.name!r} is over: nothing may follow")
        return task

    def _next_id(self) -> str:
        task = self.claim.task
        return follow_up_id(task.queue, task.id, task.created, len(self._follow_ups))

    @property
    def follow_ups(self) -> Sequence[NewTask]:
        """Return the tasks that will be enqueued if this run succeeds."""
        return self._follow_ups

    def give_back(self, follow_ups: Sequence[NewTask]) -> None:
        """Replace the follow-ups by those of a run in a child process, which had these before."""
        self._follow_ups = tuple(follow_ups)

    def end(self) -> tuple[NewTask, ...]:
        """Return the follow-ups, and refuse any that are asked for from now on."""
        self._is_over = True
        return self._follow_ups

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far this run has come, 0 to 1, for `handle.progress()` and `handle.watch()`.

        Returns at once: progress is written to the broker at most twice a second, the newest only.
        May be called from coroutines, threads and processes. Raises `InvalidTask` for a fraction
        outside 0 to 1, and for a message of more than 500 characters.
        """
        self._storage.progress(self.lease, fraction, message)

    async def save(self, data: bytes) -> None:
        """Store partial work for the next attempt, in place of what was saved before.

        It is in the broker when this returns. Raises `InvalidTask` for what is not bytes, or is
        larger than a payload may be, and what the broker raises. If the lease is lost, the run is
        over: CancelledError is raised here.
        """
        await self._storage.save(self.lease, data)

    async def saved(self) -> bytes | None:
        """Return the partial work saved last, by this run or an earlier attempt; None for none."""
        return await self._storage.saved(self.lease)

    def save_sync(self, data: bytes) -> None:
        """Do what `save` does, in a handler that is a plain function."""
        self._storage.save_sync(self.lease, data)

    def saved_sync(self) -> bytes | None:
        """Do what `saved` does, in a handler that is a plain function."""
        return self._storage.saved_sync(self.lease)

    @property
    def _storage(self) -> RunStorage:
        storage = self._services.storage
        if storage is None:
            raise InvalidOption(
                "this context stores neither progress nor partial work: expected a worker's "
                "context, or qcore.testing.a_context()"
            )
        return storage

    @property
    def log(self) -> "FilteringBoundLogger":
        """Return a structlog logger bound to this run."""
        try:
            return self._log
        except AttributeError:
            self._log = get_logger("qcore.task").bind(
                task=self.name, task_id=self.id, queue=self.queue, attempt=self.attempt
            )
            return self._log

    def provide(self, *values: object) -> None:
        """Have `state` return objects in this run, by their types; what comes later wins.

        What an around yields is provided so: one object, a tuple of them, or None for nothing.
        """
        for value in values:
            several = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
            own = {type(each): each for each in several if each is not None}
            if own:
                self._provided = {**self._own_state, **own}

    @property
    def _own_state(self) -> Mapping[type, Any]:
        return getattr(self, "_provided", _NOTHING)

    def state(self, kind: type[T]) -> T:
        """Return the object of a type that an around of this run or a lifespan yielded.

        A subclass will do where there is none of the very class. Raises `NoState` if there is none.
        """
        services = self._services
        sources = services.replaced, self._own_state, services.state
        for source in sources:
            found = source.get(kind)
            if found is None:
                found = next((each for each in source.values() if isinstance(each, kind)), None)
            if found is not None:
                return cast("T", found)
        known = dict.fromkeys(each.__name__ for source in sources for each in source)
        raise NoState(
            f"no lifespan and no around yields a {kind.__name__}: this run has "
            f"{', '.join(known) or 'no state at all'} (with process=True it has only what arounds "
            "yield: a process cannot share the worker's objects)"
        )
