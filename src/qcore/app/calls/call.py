"""A call of a task as a value: what a client is asked to enqueue."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from qcore.app.calls.signature import Signature
from qcore.app.calls.task_template import TaskTemplate
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask
from qcore.domain.record import record

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@record
class Call(Generic[R_co]):
    """A call of a task, not yet asked for: what it is called with, and its options."""

    template: TaskTemplate
    signature: Signature
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    rest: "tuple[Step[Any, Any], ...]" = ()
    """What is to be done after it, one after the other."""


@record
class Step(Generic[T_contra, R_co]):
    """A call in a chain that gets the result of the one before it, and has its other arguments."""

    call: Call[R_co]
    takes: str | None
    """The argument that the result is; None for a call that takes none."""


class CallChain(Generic[R_co]):
    """Calls that are to be done one after the other; the last one returns an `R_co`."""

    def __init__(self, call: Call[Any]) -> None:
        self.call = call
        """The first call, which the others travel with: for `enqueue_many` and other clients."""

    def __repr__(self) -> str:
        """Show its steps."""
        calls = [self.call, *(step.call for step in self.call.rest)]
        return f"<{type(self).__name__} {' > '.join(call.template.name for call in calls)}>"


@record
class Refused:
    """One of a batch was wrong, and was not written; `error` says why."""

    error: InvalidTask


TaskRequest: TypeAlias = NewTask | Call[Any]
