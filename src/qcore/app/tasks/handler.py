"""A handler: the function behind a task's name, its options, and how callers enqueue it."""

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
)
from weakref import WeakSet

from attrs import field

from qcore.app.calls.call import Call, Step
from qcore.app.calls.codec import Codec
from qcore.app.calls.foreign_names import OF_TASKS, missing
from qcore.app.calls.name_patterns import best_match
from qcore.app.calls.options import Options, merge_options
from qcore.app.calls.signature import Signature
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.handles import BlockingHandle, Handle
from qcore.app.tasks.around import Around, enclosed
from qcore.app.tasks.context import Context
from qcore.app.tasks.context_parameter import check_context, refuse_data
from qcore.app.tasks.kind import Kind
from qcore.app.tasks.process_function import ProcessFunction, declare, included
from qcore.domain.errors import CannotDecode, InvalidOption, InvalidTask
from qcore.domain.new_task import DEFAULT_QUEUE, TaskId
from qcore.domain.record import record
from qcore.domain.retry import PolicyParts
from qcore.domain.task import Task

P = ParamSpec("P")
Rest = ParamSpec("Rest")
First = TypeVar("First")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Out = TypeVar("Out")


class Sender(Protocol):
    """The clients through which a handler's tasks are enqueued; a `Qcore` is one."""

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
    """A call that knows the clients to enqueue it with when none is given."""

    sender: Sender = field(kw_only=True, eq=False, repr=False)


class HandlerWithOptions(Generic[P, R]):
    """A handler with options of its own, made by `using`; nothing is written before `enqueue`."""

    def __init__(self, handler: "Handler[P, Any, R]", template: TaskTemplate) -> None:
        self.handler = handler
        self._template = template

    @property
    def options(self) -> Options:
        return self._template.options

    def using(self, **options: Unpack[Options]) -> "HandlerWithOptions[P, R]":
        """Return the handler with other options, which override earlier ones. See `Options`."""
        handler = self.handler
        if handler.may_be_included:
            own = merge_options(self._template.own, options)
            template = TaskTemplate(self._template.name, own, handler.defaults)
            handler.templates.add(template)
        else:
            template = TaskTemplate(self._template.name, merge_options(self.options, options))
        return HandlerWithOptions(handler, template)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Return a call as a value, for `enqueue_many`, `chain` or `ctx.then`; not checked yet."""
        return self._bound(args, kwargs)

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundCall[R]:
        handler = self.handler
        return BoundCall(self._template, handler.signature, args, kwargs, sender=handler.sender)

    def step(
        self: "HandlerWithOptions[Concatenate[First, Rest], R]",
        *args: Rest.args,
        **kwargs: Rest.kwargs,
    ) -> Step[First, R]:
        """Return a step of a `chain`: the previous result is its first argument, these follow.

        Raises `InvalidTask` for a handler without a named parameter. The arguments are checked when
        the chain is enqueued.
        """
        handler = self.handler
        takes, rest = handler.signature.first, handler.signature.rest
        if takes is None:
            raise InvalidTask(
                f"{self._template.name}: its handler has no parameter that could receive a result: "
                "expected a call, task.call(…)"
            )
        return Step(Call(self._template, rest, args, kwargs), takes)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Enqueue the task; see `Client.enqueue`."""
        call = self._bound(args, kwargs)
        # a traceback that shows variables is not to show them
        del args, kwargs
        return await self.handler.sender.client.enqueue(call)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> BlockingHandle[R]:
        """Enqueue the task from code that blocks; see `Client.enqueue`."""
        call = self._bound(args, kwargs)
        del args, kwargs
        return self.handler.sender.blocking.enqueue(call)

    def handle(self, task: TaskId, *, queue: str | None = None) -> Handle[R]:
        """Return a handle of a task by its id, whether or not it is stored; nothing is asked yet.

        Its result is decoded as that of the handle that `enqueue` has returned. The queue is that
        of the handler's options unless it is given. Raises `InvalidTask` for what is no id.
        """
        return self.handler.sender.client.handle(
            self._queue(queue), task, name=self._template.name, signature=self.handler.signature
        )

    def handle_sync(self, task: TaskId, *, queue: str | None = None) -> BlockingHandle[R]:
        """Return a handle of a task by its id, for code that blocks; see `handle`."""
        return self.handler.sender.blocking.handle(
            self._queue(queue), task, name=self._template.name, signature=self.handler.signature
        )

    def _queue(self, given: str | None) -> str:
        return self.options.get("queue", DEFAULT_QUEUE) if given is None else given

    if not TYPE_CHECKING:  # which would take any attribute then

        def __getattr__(self, name: str) -> Any:
            """Raise `AttributeError`, which says what another queue's method is here."""
            raise missing(self, name, OF_TASKS)


class Handler(HandlerWithOptions[P, R], Generic[P, Out, R]):
    """The function that runs the tasks of a name; called directly, it is still that function."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Out],
        sender: Sender,
        *,
        owner: object,
        policy: PolicyParts,
        process: bool,
        options: Options,
        arounds: Sequence[Around] = (),
    ) -> None:
        # first, as an object's own attributes may have the names of these
        update_wrapper(cast("Callable[..., Out]", self), function)
        super().__init__(self, TaskTemplate(name, options))
        self.function = function
        self.sender = sender
        self.owner = owner
        """The router that it was declared with."""
        self.policy = policy
        """Of its retry policy, what it says itself."""
        self.may_be_included = False
        """Whether its router may be included in another, which gives it another name."""
        self.defaults: Options = {}
        """Options of the routers that it is in, which its own override."""
        self.templates: WeakSet[TaskTemplate] = WeakSet([self._template])
        """Made of it by `using`, while its router may be included."""
        self.name: str = name
        self.signature = Signature(name, function)
        check_context(name, self.signature)
        self.signature.check(_codec_of(sender))
        self.kind = _kind(name, self.signature, process=process)
        self.is_heard = True
        """Whether end hooks are called for its tasks."""
        self.arounds = arounds
        """Its own, inside of those of its routers."""
        self.process_function: ProcessFunction | None = None
        """Where a child process finds the function, if one is to call it."""
        if process:
            self.process_function = declare(self, name)

    def enclosed(self, arounds: Sequence[Around]) -> Callable[..., Any]:
        """Return what is called to run a task: the function inside arounds, the first outermost."""
        return enclosed(self.function, arounds, provided=self.signature.provided, kind=self.kind)

    def include_in(self, module: str | None) -> None:
        """Have a child process import the module that includes this handler's router."""
        if self.process_function is not None and module is not None:
            self.process_function = included(self.process_function, module)

    def rename(self, name: str, defaults: Options) -> None:
        """Have another name, and other defaults of its options, in calls made of it before too."""
        if name != self.name:
            self.name = name
            self.signature = Signature(name, self.function)
        self.signature.check(_codec_of(self.sender))
        self.defaults = defaults
        for template in list(self.templates):
            template.rebase(name, defaults)

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> Out:
        """Call the function, here and now.

        Raises `TypeError` for a value such as a number or a text in the place of the context.
        """
        refuse_data(ctx, self.function)
        return self.function(ctx, *args, **kwargs)

    def arguments_of(self, task: Task) -> dict[str, Any]:
        """Return the arguments of a task of this handler by name, decoded by its annotations.

        Arguments that were not given are absent. Raises `CannotDecode` for a payload that does not
        fit, and for a task of another name.
        """
        if best_match([self.name], task.name) is None:
            raise CannotDecode(f"{task.name!r} is no task of {self!r}")
        return self.signature.named(
            task.spec.payload, task.spec.content_type, self.sender.client.codec
        )

    def __repr__(self) -> str:
        """Show its name and where it runs."""
        return f"<Handler {self.name!r} ({self.kind})>"


def _codec_of(sender: Sender) -> Codec | None:
    """Return the codec of a sender's tasks; None of a router that has no client."""
    try:
        return sender.client.codec
    except InvalidOption:
        return None


def _kind(name: str, signature: Signature, *, process: bool) -> Kind:
    if not process:
        return Kind.COROUTINE if signature.is_async else Kind.THREAD
    if signature.is_async:
        raise InvalidOption(
            f"the handler of {name!r} is a coroutine: process=True is for plain functions"
        )
    return Kind.PROCESS
