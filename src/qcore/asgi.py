"""FastAPI, Starlette and Litestar: a queue, or a worker, in a lifespan; dependencies in handlers.

Needs none of them: what they call a lifespan is a function of the application that returns an
asynchronous context manager, and a dependency is a function that returns or yields a value.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import cache, wraps
from inspect import Parameter, iscoroutinefunction, signature
from typing import Any, TypeVar, get_origin, get_type_hints, overload

from qcore.app.calls.introspection import is_generator
from qcore.app.calls.user_code import name_of
from qcore.app.tasks.around import AroundFunction
from qcore.app.tasks.context import Context, NoState
from qcore.app.worker.settings import WorkerOptions, WorkerSettings
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown
from qcore.entrypoints.facade import Qcore

__all__ = ["dependency", "lifespan"]

A = TypeVar("A")
S = TypeVar("S")


@overload
def lifespan(
    q: Qcore, *, worker: bool | WorkerOptions = False
) -> Callable[[Any], AbstractAsyncContextManager[None]]: ...
@overload
def lifespan(
    q: Qcore,
    inner: Callable[[A], AbstractAsyncContextManager[S]],
    *,
    worker: bool | WorkerOptions = False,
) -> Callable[[A], AbstractAsyncContextManager[S]]: ...
def lifespan(
    q: Qcore,
    inner: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    *,
    worker: bool | WorkerOptions = False,
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """Return a lifespan in which a queue is open: `FastAPI(lifespan=lifespan(q))`.

    The store is opened before the application serves, which does not start while the store is away,
    and closed when it has stopped serving. `inner` is the application's own lifespan: it is entered
    next, and what it yields is what this one yields. With `worker=True`, or with settings of a
    worker such as `worker={"threads": 8}`, the application's process runs a worker on its event
    loop, innermost: it is started before the application serves, and stopped, within its grace,
    before `inner` ends; see `Qcore.running`. Each process of a server has one of its own. Raises
    `InvalidOption` for a setting that is wrong.
    """
    settings = WorkerOptions() if isinstance(worker, bool) else worker
    # a wrong one is refused here, and not when the application starts
    WorkerSettings(**settings)

    @asynccontextmanager
    async def within(app: Any) -> AsyncGenerator[Any, None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(q)
            yielded = None if inner is None else await stack.enter_async_context(inner(app))
            if worker is not False:
                await stack.enter_async_context(q.running(**settings))
            yield yielded

    return within


def dependency(function: Callable[..., Any]) -> AroundFunction:
    """Return an around that gives handlers what a dependency gives requests, by its type.

    `q.around(dependency(get_session))` with a generator function, plain or async, or a function
    that returns the value. Its parameters are filled in by their types with what other arounds and
    lifespans yield, the outer ones first; a default is kept where they yield none, unless it is one
    of FastAPI's `Depends`. An async one is for coroutines only. Raises `NoState` in a run for a
    parameter that nothing yields, such as a request.
    """
    if is_generator(function):

        @wraps(function)
        def enter(ctx: Context) -> Any:
            return function(**_arguments(function, ctx))

        return enter

    if iscoroutinefunction(function):

        async def provide_awaited(ctx: Context) -> AsyncIterator[Any]:
            yield await function(**_arguments(function, ctx))

        return provide_awaited

    def provide(ctx: Context) -> Any:
        return nullcontext(function(**_arguments(function, ctx)))

    return provide


def _arguments(function: Callable[..., Any], ctx: Context) -> Mapping[str, Any]:
    """Return the arguments of a dependency; raise `NoState` for one that nothing yields."""
    given: dict[str, Any] = {}
    for name, (kind, is_optional) in _parameters(function).items():
        try:
            given[name] = ctx.state(kind)
        except NoState:
            if not is_optional:
                raise
    return given


@cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, tuple[type, bool]]:
    """Return the type of each parameter of a dependency, and whether it may be left out."""
    hints = get_type_hints(function)
    found: dict[str, tuple[type, bool]] = {}
    for name, parameter in signature(function).parameters.items():
        kind, default = hints.get(name), parameter.default
        kind = get_origin(kind) or kind
        is_optional = default is not Parameter.empty and type(default).__name__ != "Depends"
        if isinstance(kind, type):
            found[name] = kind, is_optional
        elif not is_optional:
            raise InvalidOption(
                f"{name_of(function)} takes {name}, whose annotation is {shown(hints.get(name))}: "
                "expected a class, by which an around or a lifespan yields it"
            )
    return found
