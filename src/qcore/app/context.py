"""What a handler is told of its run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from qcore.domain.errors import QcoreError
from qcore.domain.moments import Moment
from qcore.domain.task import Claim, Lease, Task

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T")


class NoState(QcoreError, LookupError):
    """Say that no lifespan of this worker yields an object of the type asked for."""


class Context:
    """One run of one task: the first argument of every handler.

    Plain data and a few conveniences; made by hand for a direct call in a test with
    `qcore.testing.a_context()`.
    """

    __slots__ = ("_is_cancelled", "_log", "_state", "claim", "deadline", "lease")

    def __init__(
        self,
        claim: Claim,
        *,
        deadline: Moment | None = None,
        state: Mapping[type, Any] | None = None,
    ) -> None:
        self.claim = claim
        self.lease: Lease = claim.lease
        """The lease of this run; `lease.token` fences what the handler writes elsewhere."""
        self.deadline = deadline
        """When this run is cut short: the earlier of its timeout and the task's deadline."""
        self._state = state or {}
        self._is_cancelled = False
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
        """Return what travels with the task beside its arguments."""
        return self.claim.task.spec.headers

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
        found = self._state.get(kind)
        if found is None:
            found = next((each for each in self._state.values() if isinstance(each, kind)), None)
        if found is None:
            raise NoState(
                f"no lifespan yields a {kind.__name__}: this run has "
                f"{', '.join(each.__name__ for each in self._state) or 'no state at all'} "
                "(with process=True it never has any: a process cannot share the worker's objects)"
            )
        return found
