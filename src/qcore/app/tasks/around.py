"""Arounds: code around a handler that runs where the handler does, in its very thread or process.

Middleware runs on the event loop. What belongs to a thread, such as a database connection of
Django, or to a run, such as a session, is set up and taken down here. An around is a function of
the context that returns a generator, which yields once, or a context manager; plain or async. What
it yields the handler reaches by type, for this run.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from inspect import isasyncgen, isasyncgenfunction, isclass, iscoroutinefunction, isgenerator
from typing import Any, Final, TypeAlias, cast

from qcore.app.calls.introspection import unwraps_to
from qcore.app.calls.user_code import name_of
from qcore.app.tasks.around_generators import AsyncGeneratorManager, GeneratorManager
from qcore.app.tasks.context import Context
from qcore.app.tasks.kind import Kind
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.text import shown

AroundFunction: TypeAlias = Callable[
    [Context],
    Iterator[Any]
    | AsyncIterator[Any]
    | AbstractContextManager[Any]
    | AbstractAsyncContextManager[Any],
]

ALL_KINDS: Final = frozenset(Kind)


@record
class Around:
    """A function to be called around handlers of some kinds."""

    function: AroundFunction
    kinds: frozenset[Kind]
    """Of the handlers that it is put around."""
    module: str | None
    """The module whose import declares it, for a child process to import, too."""

    @property
    def name(self) -> str:
        """Return its module and name."""
        return name_of(self.function)

    @property
    def is_async(self) -> bool:
        """Whether it awaits, as far as can be told before it is called."""
        function = self.function
        if isclass(function):
            return hasattr(function, "__aenter__") and not hasattr(function, "__enter__")
        return unwraps_to(isasyncgenfunction, function)

    def check(self, handler: str, kind: Kind) -> None:
        """Raise `InvalidOption` where it cannot be put around a handler of a kind."""
        if self.is_async and kind is not Kind.COROUTINE:
            where = "a thread" if kind is Kind.THREAD else "a process"
            raise InvalidOption(
                f"the around {self.name} is async, and the handler of {handler!r} runs in {where}, "
                "where nothing can be awaited: make it a plain generator, or declare it with "
                'only="coroutine"'
            )


def declared(function: AroundFunction, only: object, module: str | None) -> Around:
    """Return an around; raise `InvalidOption` for what cannot be one."""
    called: object = function
    if not callable(called) or unwraps_to(iscoroutinefunction, function):
        raise InvalidOption(
            f"{shown(called)} is no around: expected a generator function of the context, plain or "
            "async, that yields once, or a function that returns a context manager"
        )
    return Around(function, _kinds(only), module)


def _kinds(only: object) -> frozenset[Kind]:
    if only is None:
        return ALL_KINDS
    several = cast("Collection[str]", [only] if isinstance(only, str) else only)
    try:
        kinds = frozenset(Kind(each) for each in several)
    except (TypeError, ValueError):
        kinds = frozenset[Kind]()
    if not kinds:
        known = ", ".join(repr(each.value) for each in Kind)
        raise InvalidOption(f"only is {shown(only)}: expected one or several of {known}")
    return kinds


def enclosed(
    function: Callable[..., Any],
    arounds: Sequence[Around],
    *,
    provided: Mapping[str, type],
    kind: Kind,
) -> Callable[..., Any]:
    """Return a handler's function inside arounds, the first of them outermost.

    `provided` are the types of the parameters that are filled in, once all arounds are entered.
    """
    if provided:
        function = partial(_filled, function, provided)
    call = _awaited if kind is Kind.COROUTINE else _called
    for each in reversed(arounds):
        function = partial(call, each, function)
    return function


def _filled(
    function: Callable[..., Any],
    provided: Mapping[str, type],
    ctx: Context,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call a function with what its marked parameters are provided with."""
    return function(
        ctx, *args, **{name: ctx.state(kind) for name, kind in provided.items()}, **kwargs
    )


def _called(
    around: Around, function: Callable[..., Any], ctx: Context, /, *args: Any, **kwargs: Any
) -> Any:
    """Call a plain function inside an around."""
    manager: Any = _manager(around, ctx)
    if not hasattr(manager, "__enter__"):
        raise _no_manager(around, manager)
    ctx.provide(manager.__enter__())
    try:
        value = function(ctx, *args, **kwargs)
    except BaseException as error:
        if manager.__exit__(type(error), error, error.__traceback__):
            return None
        raise
    _tell(manager, value)
    manager.__exit__(None, None, None)
    return value


async def _awaited(
    around: Around, function: Callable[..., Any], ctx: Context, /, *args: Any, **kwargs: Any
) -> Any:
    """Await a coroutine function inside an around."""
    manager: Any = _manager(around, ctx)
    is_async = hasattr(manager, "__aenter__")
    if not is_async and not hasattr(manager, "__enter__"):
        raise _no_manager(around, manager)
    ctx.provide(await manager.__aenter__() if is_async else manager.__enter__())
    try:
        value = await function(ctx, *args, **kwargs)
    except BaseException as error:
        # not by `async with`, which would set the traceback of the error
        raised = type(error), error, error.__traceback__
        if await manager.__aexit__(*raised) if is_async else manager.__exit__(*raised):
            return None
        raise
    _tell(manager, value)
    if is_async:
        await manager.__aexit__(None, None, None)
    else:
        manager.__exit__(None, None, None)
    return value


def _manager(around: Around, ctx: Context) -> object:
    """Call an around; return its context manager."""
    made: object = around.function(ctx)
    if isgenerator(made):
        return GeneratorManager(made, around.name)
    return AsyncGeneratorManager(made, around.name) if isasyncgen(made) else made


def _tell(manager: object, value: object) -> None:
    """Have a generator's `yield` return what the handler has."""
    if isinstance(manager, GeneratorManager | AsyncGeneratorManager):
        manager.value = value


def _no_manager(around: Around, made: object) -> TypeError:
    return TypeError(
        f"the around {around.name} returned {shown(made)}: expected a generator or a context "
        "manager, and none that is async around a plain function"
    )
