"""Transitions: what can happen to a task, each with what is known of it."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import field

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.new_task import NewTask
from qcore.domain.record import record


@record
class Due:
    """Its moment has come."""


@record
class Claimed:
    """A worker took it."""


@record
class Succeeded:
    """The handler returned. `result` is its encoded value, None for nothing to keep."""

    result: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    then: tuple[NewTask, ...] = ()
    """Tasks to be enqueued in the same step."""


@record
class Failed:
    """The handler raised, and may try again at `again_at`."""

    error: str
    again_at: Moment
    burns: bool = True
    """Whether it counts against the retry budget."""
    worker: str | None = None
    """Who ran it."""
    traceback: str | None = None
    version: str | None = None
    """That of the application which it ran."""
    error_type: str | None = None
    """The name of the class of what was raised: for instruments, it is not stored."""


@record
class Exhausted:
    """The handler raised, and the retry budget is spent."""

    error: str
    worker: str | None = None
    traceback: str | None = None
    version: str | None = None
    error_type: str | None = None
    then: tuple[NewTask, ...] = ()


@record
class Rejected:
    """It can never succeed: `SkipRetry`, a payload that does not fit its handler."""

    error: str
    worker: str | None = None
    traceback: str | None = None
    version: str | None = None
    error_type: str | None = None
    then: tuple[NewTask, ...] = ()


@record
class Revoked:
    """The handler found it unwanted."""


@record
class Snoozed:
    """The handler wants to run at `again_at` instead; no budget burned."""

    again_at: Moment
    unhandled: bool = False
    """It was put back because this worker has no handler for it."""


@record
class Released:
    """The worker gave it back, as at a graceful shutdown; no budget burned."""


@record
class Crashed:
    """Its worker was lost, not at the task's fault: it burns a budget of its own."""

    error: str = "the worker was lost: its lease ran out"
    worker: str | None = None
    traceback: str | None = None
    version: str | None = None
    error_type: str | None = None


@record
class Cancelled:
    """Somebody does not want it any more."""

    reason: str = "cancelled"
    by: str | None = None


@record
class Expired:
    """`expires` passed before it started."""

    reason: str = "expired"


@record
class Aggregated:
    """One task of its whole group has taken its place."""


@record
class RunNow:
    """An operator wants it to run at once, with fresh budgets and no expiry."""

    by: str | None = None
    """The operator, as of every command: recorded with the task, together with the reason. None
    records nothing, as where an application gives commands to tasks of its own."""
    reason: str | None = None


@record
class Archived:
    """An operator set it aside."""

    reason: str = "archived by an operator"
    by: str | None = None


@record
class Discarded:
    """An operator does not want it: it is set aside, and can be brought back for a while."""

    by: str | None = None
    reason: str | None = None


@record
class BroughtBack:
    """An operator wants what was discarded back where it was, due when it was."""

    by: str | None = None
    reason: str | None = None


@record
class Deleted:
    """An operator removed it."""

    by: str | None = None
    reason: str | None = None


@record
class Rescheduled:
    """Somebody wants it to run at `at` instead, earlier or later."""

    at: Moment
    by: str | None = None
    reason: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what is no moment; not a number fails every comparison."""
        if not 0 <= self.at <= LAST_MOMENT:
            raise InvalidTask(f"at is {self.at!r}: expected epoch seconds before the year 10000")


@record
class Updated:
    """Somebody changed options or arguments of a task that does not run."""

    changes: Mapping[str, object] = field(hash=False)
    """Fields of `NewTask`, of those in `CHANGEABLE`."""
    by: str | None = None
    reason: str | None = None


Transition: TypeAlias = (
    Due
    | Claimed
    | Succeeded
    | Failed
    | Exhausted
    | Rejected
    | Revoked
    | Snoozed
    | Released
    | Crashed
    | Cancelled
    | Expired
    | Aggregated
    | RunNow
    | Archived
    | Discarded
    | BroughtBack
    | Deleted
    | Rescheduled
    | Updated
)

FOLLOWED: Final = (Succeeded, Exhausted, Rejected)
"""Verdicts with tasks that are enqueued in the same step."""

Command: TypeAlias = (
    RunNow | Archived | Discarded | BroughtBack | Deleted | Cancelled | Rescheduled | Updated
)
"""A transition that an operator or a handle asks for."""
