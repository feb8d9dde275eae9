"""What a handler is told of its run."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import structlog
from attrs import field

from qcore.app.calls.call import CallChain, TaskRequest
from qcore.app.calls.chain_header import CHAIN_HEADER
from qcore.app.tasks.run_details import RunStorage
from qcore.domain.errors import InvalidOption, InvalidTask, QcoreError
from qcore.domain.ids import follow_up_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, another
from qcore.domain.record import record
from qcore.domain.task import Claim, Lease, Task

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T")

BuildTask: TypeAlias = Callable[[TaskRequest], NewTask]
"""What returns the task that is to be stored for what was asked; it raises `InvalidTask`."""

MOST_FOLLOW_UPS: Final = 100
"""How many a run may ask for: they are written in one step."""

_one_at_a_time: Final = threading.Lock()
"""A handler may ask from several threads; it is held for a few steps at a time."""


class NoState(QcoreError, LookupError):
    """Say that no lifespan of this worker yields an object of the type asked for."""


@record
class RunServices:
    """Who runs tasks, and what their contexts may ask of it."""

    state: Mapping[type, Any] = field(factory=dict[type, Any])
    """What its lifespans made, by type."""
    build: BuildTask | None = None
    keeper: RunStorage | None = None


NO_SERVICES: Final = RunServices()


class Context:
    """One run of one task: the first argument of every handler.

    Plain data and a few conveniences; made by hand for a direct call in a test with
    `qcore.testing.a_context()`.
    """

    __slots__ = (
        "_follow_ups",
        "_host",
        "_is_cancelled",
        "_is_over",
        "_log",
        "claim",
        "deadline",
        "lease",
    )

    def __init__(
        self, claim: Claim, host: RunServices = NO_SERVICES, *, deadline: Moment | None = None
    ) -> None:
        self.claim = claim
        self.lease: Lease = claim.lease
        """The lease of this run; `lease.token` fences what the handler writes elsewhere."""
        self.deadline = deadline
        """When this run is cut short: the earlier of its timeout and the task's deadline."""
        self._host = host
        self._is_cancelled = False
        self._follow_ups: tuple[NewTask, ...] = ()
        self._is_over = False
        self._log: FilteringBoundLogger | None = None

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
    def headers(self) -> Mapping[str, str]:
        """Return what travels with the task beside its arguments.

        Not the rest of its chain: whoever hands the headers on would hand that on too.
        """
        headers = self.claim.task.spec.headers
        if CHAIN_HEADER not in headers:
            return headers
        return {name: value for name, value in headers.items() if name != CHAIN_HEADER}

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
        """Ask for a task to be enqueued in the step in which this one succeeds, or not at all.

        `request` is a call, `task.call(…)`, a chain, or a `NewTask`. Returns the task that will be
        stored if this run succeeds: its id follows from this task's and from how many were asked
        for before, unless the caller gave one, so that a run that is repeated adds nothing twice.
        Raises `InvalidTask` as `enqueue` would, and for more than 100 in one run. May be called
        from any thread.
        """
        build = self._host.build
        if build is None:
            raise InvalidOption(
                "this run can ask for nothing: expected a worker's context, or "
                "qcore.testing.a_context(); with process=True, a handler declared with @q.task"
            )
        call = request.call if isinstance(request, CallChain) else request
        task = build(call)
        with _one_at_a_time:
            if len(self._follow_ups) >= MOST_FOLLOW_UPS:
                raise InvalidTask(
                    f"{task.name}: a run may ask for {MOST_FOLLOW_UPS} follow-ups at most: let one "
                    "of them ask for the others"
                )
            if not isinstance(call, NewTask) and "task_id" not in call.template.options:
                task = another(task, self._next_id(), task.payload)
            self._follow_ups = (*self._follow_ups, task)
        # looked at last, so that no lock is needed at the end of every run
        if self._is_over:
            raise InvalidTask(f"{task.name}: the run of {self.name!r} is over: nothing may follow")
        return task

    def _next_id(self) -> str:
        task = self.claim.task
        return follow_up_id(task.queue, task.id, task.created, len(self._follow_ups))

    @property
    def follow_ups(self) -> Sequence[NewTask]:
        """Return what this run has asked for so far, to be enqueued if it succeeds."""
        return self._follow_ups

    def give_back(self, follow_ups: Sequence[NewTask]) -> None:
        """Take over what a run in another process has asked for, and what was asked before."""
        self._follow_ups = tuple(follow_ups)

    def end(self) -> tuple[NewTask, ...]:
        """Return what it has asked for, and take no more."""
        self._is_over = True
        return self._follow_ups

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far this run has come, 0 to 1, for `handle.progress()` and `handle.watch()`.

        It takes no time: what is said often is written twice a second at most, the newest last.
        May be called from coroutines, threads and processes. Raises `InvalidTask` for a fraction
        that is none, and for a message of more than 500 characters.
        """
        self._kept.progress(self.lease, fraction, message)

    async def save(self, data: bytes) -> None:
        """Keep partial work for the next attempt, in place of what was saved before.

        It is kept when this returns. Raises `InvalidTask` for what is not bytes or more of them
        than a payload may have, and what the broker raises when it is unwell. Where the lease is
        lost the run is over: it is cancelled here.
        """
        await self._kept.save(self.lease, data)

    async def saved(self) -> bytes | None:
        """Return what was saved last, by this run or by an attempt before it; None for nothing."""
        return await self._kept.saved(self.lease)

    def save_sync(self, data: bytes) -> None:
        """Do what `save` does, in a handler that is no coroutine."""
        self._kept.save_sync(self.lease, data)

    def saved_sync(self) -> bytes | None:
        """Do what `saved` does, in a handler that is no coroutine."""
        return self._kept.saved_sync(self.lease)

    @property
    def _kept(self) -> RunStorage:
        keeper = self._host.keeper
        if keeper is None:
            raise InvalidOption(
                "this run has nobody to keep what it says: expected a worker's context, or "
                "qcore.testing.a_context()"
            )
        return keeper

    @property
    def log(self) -> "FilteringBoundLogger":
        """Return a structlog logger bound to this run."""
        if self._log is None:
            log: FilteringBoundLogger = structlog.get_logger("qcore.task").bind(
                task=self.name, task_id=self.id, queue=self.queue, attempt=self.attempt
            )
            self._log = log
            return log
        return self._log

    def state(self, kind: type[T]) -> T:
        """Return the worker's object of a type, made by a lifespan; raise `NoState` if none is."""
        state = self._host.state
        found = state.get(kind)
        if found is None:
            found = next((each for each in state.values() if isinstance(each, kind)), None)
        if found is None:
            raise NoState(
                f"no lifespan yields a {kind.__name__}: this run has "
                f"{', '.join(each.__name__ for each in state) or 'no state at all'} "
                "(with process=True it never has any: a process cannot share the worker's objects)"
            )
        return found
