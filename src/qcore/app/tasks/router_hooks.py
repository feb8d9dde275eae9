"""What a router has around its handlers: middleware, arounds, lifespans and error hooks."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from inspect import isasyncgenfunction, isclass, iscoroutinefunction
from typing import Any, TypeVar, overload

from qcore.app.calls.introspection import is_generator, unwraps_to
from qcore.app.tasks.around import AroundFunction, declared
from qcore.app.tasks.interactive import put
from qcore.app.tasks.kind import OneOrMoreKinds
from qcore.app.tasks.lifespan import Lifespan, no_lifespan
from qcore.app.tasks.process_function import running_module
from qcore.app.tasks.router_tree import ErrorHook, Middleware, RouterNode
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown

M = TypeVar("M", bound="Middleware")
H = TypeVar("H", bound="ErrorHook")
L = TypeVar("L", bound="Lifespan")
AR = TypeVar("AR", bound="AroundFunction")


class RouterHooks:
    """A router as far as what is around its handlers goes."""

    def __init__(self, node: RouterNode) -> None:
        self.node = node
        """Its place among routers."""
        self.middlewares = node.middlewares
        """Its own, outermost first."""
        self.lifespans = node.lifespans
        self.error_hooks = node.error_hooks

    def middleware(self, middleware: M) -> M:
        """Wrap a middleware around every handler, inside those registered before it.

        Raises `InvalidOption` for what is no coroutine function: it could not be awaited.
        """
        if not unwraps_to(iscoroutinefunction, middleware):
            raise InvalidOption(
                f"{middleware!r} is no middleware: expected a coroutine function, "
                "async def middleware(ctx, run)"
            )
        put(self.middlewares, middleware)
        return middleware

    @overload
    def around(self, function: AR, /) -> AR: ...
    @overload
    def around(self, *, only: OneOrMoreKinds) -> Callable[[AR], AR]: ...
    def around(self, function: Any = None, *, only: OneOrMoreKinds | None = None) -> Any:
        """Wrap code around every handler where it runs: in its very thread, process or coroutine.

        Used as `@q.around` or as `@q.around(only="thread")`, for handlers of a kind or of several:
        "coroutine", "thread", "process". It is a generator function of the context that yields
        once, or a function that returns a context manager, such as one of `contextlib`; plain, or
        async for coroutines only. It shares the handler's context variables, and is inside of all
        middleware; the first registered is the outermost. What it yields `ctx.state` finds in this
        run; `yield` returns what the handler has returned, and raises what it has raised. One that
        catches that error has the task end as if None had been returned. What it raises itself is
        the run's error. Raises `InvalidOption` for what cannot be called so; an async one around a
        plain function is refused when a worker is made.
        """

        def declare(function: AR, /) -> AR:
            added = declared(function, only, running_module())
            put(self.node.arounds, added, lambda around: around.function)
            return function

        return declare if function is None else declare(function)

    def lifespan(self, lifespan: L) -> L:
        """Run an async generator around the worker's life; handlers reach what it yields by type.

        It yields once: an object, a tuple of objects, or None. It may be an asynchronous context
        manager's maker, as of `contextlib.asynccontextmanager`. Raises `InvalidOption` for another.
        """
        is_manager = isclass(lifespan) and issubclass(lifespan, AbstractAsyncContextManager)
        if not is_manager and not unwraps_to(isasyncgenfunction, lifespan):
            raise no_lifespan(lifespan)
        put(self.lifespans, lifespan)
        return lifespan

    def on_error(self, hook: H) -> H:
        """Call `hook(ctx, error)` for every error that a handler raises, before it is judged."""
        called: object = hook
        if not callable(called) or is_generator(called):
            raise InvalidOption(
                f"{shown(hook)} is no error hook: expected a function (ctx, error), or a coroutine "
                "function, and no generator, which a call does not start"
            )
        put(self.error_hooks, hook)
        return hook
