"""A handler, and what its author and its callers say of it."""

from collections.abc import Callable
from enum import StrEnum
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast

from attrs import field

from qcore.app.calls.call import Call, Step
from qcore.app.calls.name_patterns import best_match
from qcore.app.calls.options import Options, merge_options
from qcore.app.calls.signature import Signature
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.handles import BlockingHandle, Handle
from qcore.app.tasks.context import Context
from qcore.domain.errors import CannotDecode, InvalidOption, InvalidTask
from qcore.domain.record import record
from qcore.domain.retry import RetryPolicy
from qcore.domain.task import Task

P = ParamSpec("P")
Rest = ParamSpec("Rest")
First = TypeVar("First")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Out = TypeVar("Out")


class Sender(Protocol):
    """Who sends the tasks of a handler."""

    @property
    def client(self) -> Client:
        """Return the client that awaits."""
        ...

    @property
    def blocking(self) -> BlockingClient:
        """Return the client that blocks."""
        ...


@record
class BoundCall(Call[R_co], Generic[R_co]):
    """A call that knows who sends it where no client is named."""

    sender: Sender = field(kw_only=True, eq=False, repr=False)


class Kind(StrEnum):
    """Where a handler runs."""

    COROUTINE = "coroutine"
    THREAD = "thread"
    PROCESS = "process"


class HandlerWithOptions(Generic[P, R]):
    """A handler with options: a value until it is enqueued."""

    def __init__(self, handler: "Handler[P, Any, R]", template: TaskTemplate) -> None:
        self.handler = handler
        self._template = template

    @property
    def options(self) -> Options:
        return self._template.options

    def using(self, **options: Unpack[Options]) -> "HandlerWithOptions[P, R]":
        """Return the same with other options; those given later win. See `Options`."""
        template = TaskTemplate(self._template.name, merge_options(self.options, options))
        return HandlerWithOptions(self.handler, template)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Return a call, to be enqueued with others by `enqueue_many`; nothing is checked yet."""
        handler = self.handler
        return BoundCall(self._template, handler.signature, args, kwargs, sender=handler.sender)

    def step(
        self: "HandlerWithOptions[Concatenate[First, Rest], R]",
        *args: Rest.args,
        **kwargs: Rest.kwargs,
    ) -> Step[First, R]:
        """Return a step of a `chain`: it is called with the result before it, then with these.

        Raises `InvalidTask` for a handler that takes no named argument; what is given is checked
        when the chain is enqueued.
        """
        handler = self.handler
        takes, rest = handler.signature.first, handler.signature.rest
        if takes is None:
            raise InvalidTask(
                f"{self._template.name}: its handler has no argument that a result could be: "
                "expected a call, task.call(…)"
            )
        return Step(Call(self._template, rest, args, kwargs), takes)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Ask for the task to be run; see `Client.enqueue`."""
        return await self.handler.sender.client.enqueue(self.call(*args, **kwargs))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> BlockingHandle[R]:
        """Ask for the task to be run, from code that blocks; see `Client.enqueue`."""
        return self.handler.sender.blocking.enqueue(self.call(*args, **kwargs))


class Handler(HandlerWithOptions[P, R], Generic[P, Out, R]):
    """A function that does the work of a task. Called directly, it is still that function."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Out],
        sender: Sender,
        *,
        policy: RetryPolicy | None,
        process: bool,
        options: Options,
    ) -> None:
        super().__init__(self, TaskTemplate(name, options))
        self.name = name
        self.function = function
        self.sender = sender
        self.policy = policy
        """How its failures are judged; None leaves that to the worker."""
        self.signature = Signature(name, function)
        self.kind = _kind(name, function, self.signature, process=process)
        update_wrapper(cast("Callable[..., Out]", self), function)

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> Out:
        """Call the function, here and now."""
        return self.function(ctx, *args, **kwargs)

    def arguments_of(self, task: Task) -> dict[str, Any]:
        """Return what a task of this handler was asked for with, by name, as its annotations say.

        What was not given is not there. Raises `CannotDecode` for what does not fit, and for a
        task of another name.
        """
        if best_match([self.name], task.name) is None:
            raise CannotDecode(f"{task.name!r} is no task of {self!r}")
        return self.signature.named(
            task.spec.payload, task.spec.content_type, self.sender.client.codec
        )

    def __repr__(self) -> str:
        """Show its name and where it runs."""
        return f"<Handler {self.name!r} ({self.kind})>"


def _kind(name: str, function: Callable[..., Any], signature: Signature, *, process: bool) -> Kind:
    if not process:
        return Kind.COROUTINE if signature.is_async else Kind.THREAD
    if signature.is_async:
        raise InvalidOption(
            f"the handler of {name!r} is a coroutine: process=True is for plain functions"
        )
    if "<" in getattr(function, "__qualname__", "<nameless>"):
        raise InvalidOption(
            f"the handler of {name!r} is {function!r}, which another process cannot find: "
            "process=True is for functions of a module"
        )
    return Kind.PROCESS
