"""The audit trail of a task: which operator gave it which command, when and why."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar, cast

from attrs import evolve

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.text import one_line, storable
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Deleted,
    Discarded,
    Rescheduled,
    RunNow,
    Transition,
    Updated,
)


class Attributable(Protocol):
    """A command, or another order of an operator, that says by whom it is and why."""

    @property
    def by(self) -> str | None:
        """Return who gives it."""
        ...

    @property
    def reason(self) -> str | None:
        """Return why."""
        ...


C = TypeVar("C", bound=Attributable)

MAX_AUDIT: Final = 20
"""How many records are kept of a task: the last ones."""
MAX_BY: Final = 100
"""Characters of an operator's name that are kept."""
MAX_REASON: Final = 500
"""Characters of a reason that are kept."""

ACTIONS: Final[Mapping[type, str]] = {
    RunNow: "run",
    Archived: "archive",
    Discarded: "discard",
    BroughtBack: "bring back",
    Cancelled: "cancel",
    Deleted: "delete",
    Rescheduled: "reschedule",
    Updated: "update",
}
"""Commands by the names that records, events and the command line give them."""
MOVE: Final = "move"
"""To another queue, which is no command: it takes several."""
_NO_REASONS: Final = {None, Archived().reason, Cancelled().reason}
"""What is there where no reason was given: the texts are what a task then has as its error."""


@record
class AuditRecord:
    """One command that an operator gave, as the task keeps it."""

    at: Moment
    action: str
    """One of `ACTIONS`, or `MOVE`."""
    by: str
    reason: str | None = None
    detail: str = ""
    """The moment of a `Rescheduled`, the fields of an `Updated`."""


def audit_record(event: Transition, now: Moment) -> AuditRecord | None:
    """Return what a transition adds to a task's audit trail: a command that says by whom it is."""
    action = ACTIONS.get(type(event))
    if action is None:
        # a lookup, as isinstance with each of them would take longer for every verdict
        return None
    command = cast("Command", event)
    if command.by is None:
        return None
    by, reason = one_line(command.by, MAX_BY), reason_given(command)
    return AuditRecord(now, action, by, reason, detail_of(command))


def attributed(command: C, by: str, reason: str | None) -> C:
    """Return a command that says by whom it is, and why."""
    order: Any = command
    # of some it becomes the task's error
    given = {} if reason is None else {"reason": storable(reason)}
    return cast("C", evolve(order, by=by, **given))


def reason_given(command: Attributable) -> str | None:
    """Return the reason that an operator gave for a command, as it is kept."""
    reason = command.reason
    return None if reason in _NO_REASONS else one_line(reason or "", MAX_REASON)


def detail_of(command: Command) -> str:
    """Return what a command says beside its kind, as text."""
    match command:
        case Rescheduled():
            return datetime.fromtimestamp(command.at, UTC).isoformat(timespec="milliseconds")
        case Updated():
            return ", ".join(sorted(command.changes))
        case _:
            return ""
