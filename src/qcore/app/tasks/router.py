"""The router: which handler runs which task, and the middleware and hooks around them."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from inspect import isasyncgenfunction, isclass, iscoroutinefunction
from typing import (
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    Unpack,
    overload,
)

from qcore.app.calls.introspection import is_generator, unwraps_to
from qcore.app.calls.name_patterns import best_match
from qcore.app.calls.options import Options
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.client import BlockingClient, Client
from qcore.app.tasks.aggregators import A, AggregationOptions, Aggregator, Aggregators
from qcore.app.tasks.context import Context
from qcore.app.tasks.default_name import default_name
from qcore.app.tasks.handler import Handler, Sender
from qcore.app.tasks.lifespan import Lifespan, no_lifespan
from qcore.domain.backoff import Curve
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.domain.retry import RetryPolicy, always
from qcore.domain.text import shown

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound="Middleware")
H = TypeVar("H", bound="ErrorHook")
L = TypeVar("L", bound="Lifespan")

Next: TypeAlias = Callable[[Context], Awaitable[object]]
"""The rest of the run, which a middleware awaits; it returns the handler's result."""

Middleware: TypeAlias = Callable[[Context, Next], Awaitable[object]]
ErrorHook: TypeAlias = Callable[[Context, BaseException], Awaitable[None] | None]

AnyHandler: TypeAlias = Handler[Any, Any, Any]


class Decorate(Protocol):
    """A decorator that makes a handler of a function whose first parameter is the context."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> Handler[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Handler[P, R, R]: ...


class Router:
    """Find the handler of a task by its name.

    The exact name comes first, else the longest prefix: a prefix is a pattern that ends in ":",
    and the empty pattern is the prefix of all.
    """

    def __init__(self, sender: Sender | None = None) -> None:
        self._sender: Sender = _NoSender() if sender is None else sender
        self._handlers: dict[str, AnyHandler] = {}
        self.middlewares: list[Middleware] = []
        """Outermost first."""
        self.lifespans: list[Lifespan] = []
        self.error_hooks: list[ErrorHook] = []
        self.aggregators = Aggregators()
        self.resolve = lru_cache(maxsize=4096)(self._resolve)
        """Return the handler of a task's name, None where there is none."""

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
        process: bool = False,
        **options: Unpack[Options],
    ) -> Decorate: ...
    def task(
        self,
        name: str | Callable[..., Any] | None = None,
        *,
        retry: RetryPolicy | Curve | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        process: bool = False,
        **options: Unpack[Options],
    ) -> Decorate | AnyHandler:
        """Make a function the handler of the tasks of a name (its module and name if not given).

        A module that is run as a script counts by the name that others import it by.

        Used as `@q.task` or as `@q.task(…)`. `retry` is a policy or a curve (failures and a roll to
        seconds), `is_failure` says which errors burn the retry budget, `process=True` runs it in a
        process of its own. The `options` are the defaults of its tasks: `queue`, `priority`,
        `max_retry`, `max_crashes`, `backoff`, `timeout`, `deadline`, `delay`, `at`, `expires`,
        `retention`, `task_id`, `group`, `headers`, `tags`, `unique_for`, `unique_key`,
        `on_duplicate`, `on_conflict`; see `qcore.types.Options`. Raises `InvalidOption` for a name
        that has a handler already, and `InvalidTask` for an option that is wrong.
        """

        def decorate(function: Callable[..., Any], /) -> Any:
            called = name if isinstance(name, str) else default_name(function)
            policy = _policy(retry, is_failure)
            return self._add(called, function, policy, process=process, options=options)

        return decorate(name) if callable(name) else decorate

    def route(
        self, pattern: str, function: Callable[..., Any], *, process: bool = False
    ) -> AnyHandler:
        """Serve the tasks of an exact name, or, if `pattern` ends in ":" or is empty, of a prefix.

        A handler that serves many names takes `**arguments`, and finds the name in its context.
        """
        return self._add(pattern, function, None, process=process, options=Options())

    def _add(
        self,
        pattern: str,
        function: Callable[..., Any],
        policy: RetryPolicy | None,
        *,
        process: bool,
        options: Options,
    ) -> AnyHandler:
        if pattern in self._handlers:
            raise InvalidOption(
                f"{pattern!r} has a handler already, {self._handlers[pattern].function!r}: give "
                "each a name of its own"
            )
        if pattern:
            # a wrong default would be refused at every enqueue: refuse it where it is declared
            TaskTemplate(pattern, options).check()
        handler: AnyHandler = Handler(
            pattern, function, self._sender, policy=policy, process=process, options=options
        )
        self._handlers[pattern] = handler
        self.resolve.cache_clear()
        return handler

    def _resolve(self, name: str) -> AnyHandler | None:
        pattern = best_match(self._handlers, name)
        return None if pattern is None else self._handlers[pattern]

    def handlers(self) -> list[AnyHandler]:
        """Return all handlers, in the order of registration."""
        return list(self._handlers.values())

    def check_annotations(self) -> None:
        """Raise `InvalidOption` for a handler with an annotation that names what was not defined.

        While its module was imported, it might have been defined further down.
        """
        for handler in self._handlers.values():
            handler.signature.annotations.resolve()

    def default_queues(self) -> dict[str, str]:
        """Return the names and prefixes that have handlers, with the queue their tasks go to."""
        return {
            pattern: handler.options.get("queue", DEFAULT_QUEUE)
            for pattern, handler in self._handlers.items()
        }

    def queues(self) -> list[str]:
        """Return the queues that handlers and aggregators name as their own."""
        named = [handler.options.get("queue") for handler in self._handlers.values()]
        named += self.aggregators.queues()
        return list(dict.fromkeys(queue for queue in named if queue is not None))

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
            self.aggregators.add(Aggregator(function, called, queue, options))
            return function

        return decorate(pattern) if callable(pattern) else decorate

    def middleware(self, middleware: M) -> M:
        """Wrap a middleware around every handler, inside those registered before it.

        Raises `InvalidOption` for what is no coroutine function: it could not be awaited.
        """
        if not unwraps_to(iscoroutinefunction, middleware):
            raise InvalidOption(
                f"{middleware!r} is no middleware: expected a coroutine function, "
                "async def middleware(ctx, run)"
            )
        self.middlewares.append(middleware)
        return middleware

    def lifespan(self, lifespan: L) -> L:
        """Run an async generator around the worker's life; handlers reach what it yields by type.

        It yields once: an object, a tuple of objects, or None. It may be an asynchronous context
        manager's maker, as of `contextlib.asynccontextmanager`. Raises `InvalidOption` for another.
        """
        is_manager = isclass(lifespan) and issubclass(lifespan, AbstractAsyncContextManager)
        if not is_manager and not unwraps_to(isasyncgenfunction, lifespan):
            raise no_lifespan(lifespan)
        self.lifespans.append(lifespan)
        return lifespan

    def on_error(self, hook: H) -> H:
        """Call `hook(ctx, error)` for every error that a handler raises, before it is judged."""
        called: object = hook
        if not callable(called) or is_generator(called):
            raise InvalidOption(
                f"{shown(hook)} is no error hook: expected a function (ctx, error), or a coroutine "
                "function, and no generator, which a call does not start"
            )
        self.error_hooks.append(hook)
        return hook


def _policy(
    retry: RetryPolicy | Curve | None, is_failure: Callable[[BaseException], bool] | None
) -> RetryPolicy | None:
    """Return the handler's own retry policy, None if it has none."""
    if retry is None and is_failure is None:
        return None
    if isinstance(retry, RetryPolicy):
        return RetryPolicy(retry.curve, is_failure or retry.is_failure)
    if retry is not None and not callable(retry):
        raise InvalidOption(f"retry is {retry!r}: expected a RetryPolicy or a curve")
    failing = is_failure or always
    return RetryPolicy(is_failure=failing) if retry is None else RetryPolicy(retry, failing)


class _NoSender:
    """The sender of a router that is not a `Qcore`: there is no client to enqueue with."""

    @property
    def client(self) -> Client:
        """Refuse."""
        raise InvalidOption("this router has no client: enqueue through a Client or a Qcore")

    @property
    def blocking(self) -> BlockingClient:
        """Refuse."""
        raise InvalidOption(
            "this router has no client: enqueue through a BlockingClient or a Qcore"
        )
