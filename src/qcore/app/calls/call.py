"""A call of a task as a value: what a client is asked to enqueue."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import field

from qcore.app.calls.signature import Signature
from qcore.app.calls.task_template import TaskTemplate
from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import NewTask
from qcore.domain.record import record

T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


@record
class Call(Generic[R_co]):
    """A call of a task that is not enqueued yet: its arguments and its options.

    Its `repr` names the task alone: arguments may be secrets, and a `repr` ends up in logs.
    """

    template: TaskTemplate = field(repr=lambda template: template.name)
    signature: Signature = field(repr=False)
    args: Sequence[Any] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    rest: "tuple[Step[Any, Any], ...]" = ()
    """The later steps of its chain, in order."""


@record
class Step(Generic[T_contra, R_co]):
    """A later call of a chain: the previous step's result becomes one of its arguments."""

    call: Call[R_co]
    takes: str | None
    """The name of the argument that receives the result; None for a call that takes none."""


class CallChain(Generic[R_co]):
    """Calls that run one after the other, each once the one before it succeeded.

    The last one returns an `R_co`.
    """

    def __init__(self, call: Call[Any]) -> None:
        self.call = call
        """The first call, which carries the later ones: pass it to `enqueue_many` or a client."""

    def __repr__(self) -> str:
        """Show its steps."""
        calls = [self.call, *(step.call for step in self.call.rest)]
        return f"<{type(self).__name__} {' > '.join(call.template.name for call in calls)}>"


@record
class Refused:
    """The answer of `enqueue_many` for a request that was wrong: nothing of it was written."""

    error: InvalidTask


TaskRequest: TypeAlias = NewTask | Call[Any]
"""What a client can be asked to enqueue."""
