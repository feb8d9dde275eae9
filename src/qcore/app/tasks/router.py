"""The router: which handler runs which task, and the middleware and hooks around them."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    Any,
    Concatenate,
    Final,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from qcore.app.calls.options import Options
from qcore.app.calls.periodic_task import EntryOptions
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.tasks.aggregators import A, AggregationOptions, Aggregator
from qcore.app.tasks.around import Around, AroundFunction, declared
from qcore.app.tasks.context import Context
from qcore.app.tasks.default_name import default_name
from qcore.app.tasks.ends import (
    END_STATES,
    PREFIX,
    Ended,
    EndHook,
    OneOrMoreStates,
    check_hook,
    end_states,
)
from qcore.app.tasks.handler import Handler, Sender
from qcore.app.tasks.interactive import put
from qcore.app.tasks.periodic import POLL_EVERY, D, PeriodicDeclarations, V
from qcore.app.tasks.process_function import running_module
from qcore.app.tasks.router_hooks import RouterHooks
from qcore.app.tasks.router_tree import AnyHandler, ErrorHook, RouterNode
from qcore.app.tasks.task_defaults import ErrorClasses, policy_parts, task_defaults
from qcore.domain.backoff import Curve
from qcore.domain.errors import InvalidOption
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Duration
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.retry import PolicyParts, RetryPolicy
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.text import shown

P = ParamSpec("P")
R = TypeVar("R")
EndHandler: TypeAlias = Handler[[Ended], Any, Any]

NO_ARGUMENTS: Final[Mapping[str, Any]] = FrozenDict()


class Decorate(Protocol):
    """A decorator that makes a handler of a function whose first parameter is the context."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Handler[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Handler[P, R, R]: ...


class RouterOptions(TypedDict, total=False):
    """What a router says for all of its tasks; see `Router`."""

    defaults: Options | None
    retry: RetryPolicy | Curve | None
    is_failure: Callable[[BaseException], bool] | None
    retry_on: ErrorClasses | None
    give_up_on: ErrorClasses | None
    on_error: ErrorHook | Sequence[ErrorHook]


class Router(RouterHooks):
    """Find the handler of a task by its name.

    The exact name comes first, else the longest prefix: a prefix is a pattern that ends in ":",
    and the empty pattern is the prefix of all.

    `defaults` are options of all of its tasks, `retry` and `is_failure` what follows a failure of
    theirs, each unless a task says so itself; `on_error` is one or several error hooks. Raises
    `InvalidOption` for one that is wrong. Only a `Qcore` has a `sender`.
    """

    def __init__(
        self,
        sender: Sender | None = None,
        *,
        defaults: Options | None = None,
        retry: RetryPolicy | Curve | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        retry_on: ErrorClasses | None = None,
        give_up_on: ErrorClasses | None = None,
        on_error: ErrorHook | Sequence[ErrorHook] = (),
    ) -> None:
        policy = policy_parts(retry, is_failure, retry_on, give_up_on)
        super().__init__(RouterNode(sender, task_defaults(defaults, policy)))
        self.aggregators = self.node.aggregators
        self.resolve = self.node.resolve
        """Return the handler of a task's name, None where there is none."""
        for hook in _hooks(on_error):
            self.on_error(hook)

    @overload
    def task(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Handler[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> Handler[P, R, R]: ...
    @overload
    def task(
        self,
        name: str | None = None,
        *,
        retry: RetryPolicy | Curve | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        retry_on: ErrorClasses | None = None,
        give_up_on: ErrorClasses | None = None,
        process: bool = False,
        around: AroundFunction | Sequence[AroundFunction] = (),
        **options: Unpack[Options],
    ) -> Decorate: ...
    def task(
        self,
        name: str | Callable[..., Any] | None = None,
        *,
        retry: RetryPolicy | Curve | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        retry_on: ErrorClasses | None = None,
        give_up_on: ErrorClasses | None = None,
        process: bool = False,
        around: AroundFunction | Sequence[AroundFunction] = (),
        **options: Unpack[Options],
    ) -> Decorate | AnyHandler:
        """Make a function the handler of the tasks of a name (its module and name if not given).

        A module that is run as a script counts by the name that others import it by.

        Used as `@q.task` or as `@q.task(…)`. `retry` is a policy or a curve (failures and a roll to
        seconds), `is_failure` says which errors burn the retry budget, `retry_on` and
        `give_up_on` which are retried at all, by classes, `process=True` runs it in a
        process of its own, and `around` is one or several arounds of its own, inside of those of
        its routers (see `Router.around`). The `options` are the defaults of its tasks: `queue`,
        `priority`, `max_retry`, `max_crashes`, `backoff`, `timeout`, `deadline`, `delay`, `at`,
        `expires`, `retention`, `task_id`, `group`, `headers`, `tags`, `unique_for`, `unique_key`,
        `on_duplicate`, `on_conflict`; see `qcore.types.Options`. Raises `InvalidOption` for a name
        that has a handler already, unless a cell of a notebook is run again,
        and `InvalidTask` for an option that is wrong.
        """

        def decorate(function: Callable[..., Any], /) -> Any:
            called = name if isinstance(name, str) else default_name(function)
            policy = policy_parts(retry, is_failure, retry_on, give_up_on)
            arounds = _arounds(around)
            return self._add(
                called, function, policy, process=process, options=options, arounds=arounds
            )

        return decorate(name) if callable(name) else decorate

    def route(
        self, pattern: str, function: Callable[..., Any], *, process: bool = False
    ) -> AnyHandler:
        """Serve the tasks of an exact name, or, if `pattern` ends in ":" or is empty, of a prefix.

        A handler that serves many names takes `**arguments`, and finds the name in its context.
        """
        return self._add(pattern, function, PolicyParts(), process=process, options=Options())

    def _add(
        self,
        pattern: str,
        function: Callable[..., Any],
        policy: PolicyParts,
        *,
        process: bool,
        options: Options,
        arounds: Sequence[Around] = (),
    ) -> AnyHandler:
        self.node.refuse_taken([pattern], function)
        if pattern:
            # a wrong default would be refused at every enqueue: refuse it where it is declared
            TaskTemplate(pattern, options).check()
        node = self.node
        handler: AnyHandler = Handler(
            pattern,
            function,
            node.sender,
            owner=node,
            policy=policy,
            process=process,
            options=options,
            arounds=arounds,
        )
        for each in arounds:
            each.check(pattern, handler.kind)
        node.adopt({pattern: handler})
        return handler

    def include(self, router: "Router", *, prefix: str = "") -> None:
        """Serve the tasks of another router too, under names that begin with `prefix`.

        Its tasks enqueue through this one's clients from then on. Its middleware, error hooks and
        defaults are for its own tasks, inside of those here; its lifespans and aggregators are the
        worker's, and a prefix does not change the names of groups. What is declared with it later
        is included as well. A router is included in one place. Raises `InvalidOption` for a name
        that has a handler here, a prefix that does not end in ":", and what is no such router.
        """
        if not isinstance(router, Router):
            raise InvalidOption(f"{shown(router)} cannot be included: expected a Router()")
        self.node.include(router.node, prefix)

    def handlers(self) -> list[AnyHandler]:
        """Return all handlers, in the order of registration."""
        return list(self.node.handlers.values())

    def check_handlers(self) -> None:
        """Raise `InvalidOption` for what is wrong, and may not have been while it was declared.

        An annotation that names what was not defined might have been defined further down in its
        module. An async around cannot be put around a plain function.
        """
        for pattern, handler in self.node.handlers.items():
            handler.signature.resolve()
            for around in self.node.arounds_of(handler):
                around.check(pattern, handler.kind)

    def default_queues(self) -> dict[str, str]:
        """Return the names and prefixes that have handlers, with the queue their tasks go to."""
        return {
            pattern: handler.options.get("queue", DEFAULT_QUEUE)
            for pattern, handler in self.node.handlers.items()
        }

    def queues(self) -> list[str]:
        """Return the queues that handlers and aggregators name as their own."""
        named = [handler.options.get("queue") for handler in self.node.handlers.values()]
        named += self.aggregators.queues()
        named += self.declarations().queues()
        return list(dict.fromkeys(queue for queue in named if queue is not None))

    def declarations(self) -> PeriodicDeclarations:
        """Return the periodic tasks and providers that are declared, here and in what it includes.

        Raises `InvalidOption` where two have one name in a queue.
        """
        return self.node.all_declarations()

    def periodic(
        self,
        schedule: "str | Duration | Schedule",
        *,
        name: str | None = None,
        tz: str | None = None,
        arguments: Mapping[str, Any] = NO_ARGUMENTS,
        **options: Unpack[EntryOptions],
    ) -> Callable[[D], D]:
        """Make a task at each tick of a schedule: `@q.periodic("0 9 * * 1-5", tz="Europe/Berlin")`.

        Above `@q.task`, or beside it with a call: `q.periodic("@hourly")(clean.call(days=7))`.
        `schedule` is a cron expression, in the time zone `tz` (UTC if not given), a timedelta, or a
        `Cron` or an `Every`. `name` tells it from others of its queue: by default the task's name.
        `arguments` are those of the handler, the same at each tick. For the `options` see
        `qcore.types.EntryOptions`. The entry lies in the broker from the first start of a worker or
        a scheduler on; when the code declares it no more, it ends. Raises `InvalidOption` or
        `InvalidTask` for what makes no sense.
        """

        def declare(task: D, /) -> D:
            self.node.declarations.add(
                task, schedule, arguments, name=name, tz=tz, options=EntryOptions(**options)
            )
            return task

        return declare

    def every(
        self,
        interval: Duration,
        *,
        name: str | None = None,
        arguments: Mapping[str, Any] = NO_ARGUMENTS,
        **options: Unpack[EntryOptions],
    ) -> Callable[[D], D]:
        """Make a task in each interval, counted from a fixed instant: see `periodic`."""
        return self.periodic(interval, name=name, arguments=arguments, **options)

    @overload
    def periodic_provider(self, provide: V, /) -> V: ...
    @overload
    def periodic_provider(self, *, every: Duration = POLL_EVERY) -> Callable[[V], V]: ...
    def periodic_provider(
        self, provide: Callable[..., Any] | None = None, *, every: Duration = POLL_EVERY
    ) -> Any:
        """Ask a function for periodic tasks, again and again: they come and go as it says.

        Used as `@q.periodic_provider` or as `@q.periodic_provider(every=30)`. It returns a list of
        `PeriodicTask`; a coroutine function, or a plain one, which runs in a thread. While it
        raises, those of its last answer stay. Raises `InvalidOption` for what is no function.
        """

        def declare(function: V, /) -> V:
            self.node.declarations.add_provider(function, every)
            return function

        return declare if provide is None else declare(provide)

    @overload
    def aggregator(self, function: A, /) -> A: ...
    @overload
    def aggregator(
        self, pattern: str = "", *, queue: str | None = None, **options: Unpack[AggregationOptions]
    ) -> Callable[[A], A]: ...
    def aggregator(
        self,
        pattern: str | Callable[..., Any] = "",
        *,
        queue: str | None = None,
        **options: Unpack[AggregationOptions],
    ) -> Any:
        """Make one task of the tasks of a group with `function(group, tasks)`, when it is ready.

        Used as `@q.aggregator` or as `@q.aggregator(…)`. For the groups of an exact name, or, if
        `pattern` ends in ":" or is empty, of a prefix; in one queue or in all. A coroutine function
        or a plain one, which runs in a thread. It returns a call or a `NewTask`, which takes the
        place of the tasks in one step; it may be called again for the same tasks. `options` says
        when a group is ready, see `AggregationOptions`. Raises `InvalidOption` for what makes no
        sense.
        """

        def decorate(function: A, /) -> A:
            called = "" if callable(pattern) else pattern
            self.node.add_aggregator(Aggregator(function, called, queue, options))
            return function

        return decorate(pattern) if callable(pattern) else decorate

    @overload
    def on_end(self, function: Callable[[Context, Ended], Any], /) -> EndHandler: ...
    @overload
    def on_end(
        self,
        pattern: str = "",
        *,
        states: OneOrMoreStates = END_STATES,
        **options: Unpack[Options],
    ) -> Callable[[Callable[[Context, Ended], Any]], EndHandler]: ...
    def on_end(
        self,
        pattern: str | Callable[[Context, Ended], Any] = "",
        *,
        states: OneOrMoreStates = END_STATES,
        **options: Unpack[Options],
    ) -> Any:
        """Call `hook(ctx, end: Ended)` for each task that is completed, archived or dead.

        Used as `@q.on_end` or as `@q.on_end("email:", states="dead")`: for the tasks of an exact
        name, or, if the pattern ends in ":" or is empty, of a prefix, within those of this router.
        A hook is run as a task of its own, in the queue of the one that has ended unless its
        `options` say another: a coroutine function, or a plain one, which runs in a thread; retried
        when it fails, with the arounds and the hooks of errors of its router. It is called at least
        once for each end: what a verdict of a worker ends is enqueued in the same step; what ends
        otherwise, such as by an expiry, an operator or the loss of its worker, is looked for every
        15 seconds. Raises `InvalidOption` for what is no such function.
        """

        def declare(function: Callable[[Context, Ended], Any], /) -> EndHandler:
            taken = end_states(states)
            name = f"{PREFIX}{default_name(function)}"
            handler = self._add(name, function, PolicyParts(), process=False, options=options)
            check_hook(function, handler)
            handler.is_heard = False
            hook = EndHook("" if callable(pattern) else pattern, taken, handler)
            put(self.node.end_hooks, hook, lambda each: each.handler.function)
            return handler

        return declare(pattern) if callable(pattern) else declare


def _arounds(given: AroundFunction | Sequence[AroundFunction]) -> Sequence[Around]:
    module = running_module()
    if callable(given):
        return [declared(given, None, module)]
    if not isinstance(given, Sequence):
        raise InvalidOption(f"around is {shown(given)}: expected a function, or several")
    return [declared(each, None, module) for each in given]


def _hooks(on_error: ErrorHook | Sequence[ErrorHook]) -> Sequence[ErrorHook]:
    if callable(on_error):
        return (on_error,)
    if not isinstance(on_error, Sequence):
        raise InvalidOption(f"on_error is {shown(on_error)}: expected a function, or several")
    return on_error
