"""Details of a task: what its runs leave (errors, progress, partial work), and its audit trail."""

from typing import Final

from attrs import evolve, field

from qcore.domain.audit import ACTIONS, MAX_AUDIT, AuditRecord, audit_record
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.task import Lease
from qcore.domain.text import shown
from qcore.domain.transitions import Crashed, Exhausted, Failed, Rejected, Transition

MAX_ERRORS: Final = 10
"""How many errors are kept of a task: the last ones."""
MAX_TRACEBACK: Final = 4_000
"""Characters of a traceback that are kept: the last ones, as they say where it happened."""
MAX_MESSAGE: Final = 500
"""Characters of what a run says of its progress."""


@record
class AttemptError:
    """The error of one attempt."""

    at: Moment
    attempt: int
    """The number of the run, from 1."""
    error: str
    worker: str | None = None
    """The name of the worker that ran it; None if it is not known."""
    traceback: str | None = None
    version: str | None = None
    """The version of the application that it ran, as its worker was told; None if it was not."""


@record
class Progress:
    """How far a run has come, as it reported."""

    at: Moment
    fraction: float
    """0 to 1."""
    message: str = ""

    def check(self) -> None:
        """Raise `InvalidTask` for a value out of range."""
        if type(self.fraction) not in {int, float} or not 0 <= self.fraction <= 1:
            raise InvalidTask(f"progress is {shown(self.fraction)}: expected a number from 0 to 1")
        if type(self.message) is not str or len(self.message) > MAX_MESSAGE:
            raise InvalidTask(
                f"the message of progress is {shown(self.message)}: expected text of at most "
                f"{MAX_MESSAGE} characters"
            )


@record
class DetailsUpdate:
    """New details of a run; None leaves the stored ones as they are."""

    lease: Lease
    progress: Progress | None = None
    saved: bytes | None = field(default=None, repr=False)
    """Partial work, for the next attempt."""

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidTask` for a value out of range."""
        if self.progress is not None:
            self.progress.check()
        if self.saved is not None and type(self.saved) is not bytes:
            raise InvalidTask(f"saved is a {type(self.saved).__name__}: expected bytes")


@record
class DetailsSaved:
    """The details were stored."""


@record
class Details:
    """All that is stored of a task's runs, and of what operators did to it."""

    errors: tuple[AttemptError, ...] = ()
    """The last ten, the oldest first."""
    progress: Progress | None = None
    saved: bytes | None = field(default=None, repr=False)
    audit: tuple[AuditRecord, ...] = ()
    """The last twenty commands that operators gave, the oldest first."""


NO_DETAILS: Final = Details()

_FAULTY: Final = (Failed, Exhausted, Rejected, Crashed)
_NOTED: Final = frozenset({*_FAULTY, *ACTIONS})
"""Transitions that may add to the details."""


def attempt_error(event: Transition, attempt: int, now: Moment) -> AttemptError | None:
    """Return what a transition adds to a task's history of errors; None for nothing."""
    if not isinstance(event, _FAULTY):
        return None
    return AttemptError(now, attempt, event.error, event.worker, event.traceback, event.version)


def after(details: Details, event: Transition, attempt: int, now: Moment) -> Details:
    """Return a task's details after a transition."""
    if type(event) not in _NOTED:
        return details
    fault = attempt_error(event, attempt, now)
    if fault is not None:
        return evolve(details, errors=(*details.errors, fault)[-MAX_ERRORS:])
    order = audit_record(event, now)
    if order is not None:
        return evolve(details, audit=(*details.audit, order)[-MAX_AUDIT:])
    return details


def noted(details: Details, note: DetailsUpdate) -> Details:
    """Return a task's details after its run has updated them."""
    return Details(
        details.errors,
        details.progress if note.progress is None else note.progress,
        details.saved if note.saved is None else note.saved,
        details.audit,
    )
