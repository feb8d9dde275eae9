"""Tell what kind of function a handler is underneath its decorators and partials."""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from inspect import isasyncgen, iscoroutine, isgenerator, ismethod, isroutine, unwrap
from typing import Any


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature, whose annotations may name what is not defined yet."""
    if sys.version_info >= (3, 14):
        # they are evaluated when they are asked for, and only so without a NameError (PEP 649)
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def innermost(function: Any) -> Any:
    """Return the function underneath partials; of a callable object its `__call__`.

    Static methods count as partials. What a decorator has wrapped stays wrapped: it may be of
    another kind than its wrapper.
    """
    while isinstance(function, partial | staticmethod):
        function = function.func if isinstance(function, partial) else function.__func__
    return function if isroutine(function) else type(function).__call__


def unwraps_to(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether `kind` (such as `iscoroutinefunction`) holds of the innermost function.

    `functools.partial` and whatever sets `__wrapped__` are unwrapped; of a callable object its
    `__call__` counts.
    """
    while isinstance(function, partial):
        function = function.func
    inner = unwrap(function)
    return kind(inner) or kind(type(inner).__call__)


def is_generator(function: Any) -> bool:
    """Return whether a function, or the one underneath its partials, is a generator of any kind."""
    each = function, innermost(function)
    return any(map(inspect.isgeneratorfunction, each)) or any(map(inspect.isasyncgenfunction, each))


def namespace_of(function: Any) -> dict[str, Any]:
    """Return the globals of the module in which a function was written."""
    inner = unwrap(innermost(function))
    if ismethod(inner):
        inner = inner.__func__
    return getattr(inner, "__globals__", {})


def is_module_complete(function: Any) -> bool:
    """Return whether a function's module has been executed: no name in it is yet to come.

    False also for a module of which nothing is known, such as the one that Python was started with.
    """
    module = sys.modules.get(namespace_of(function).get("__name__", ""))
    spec = getattr(module, "__spec__", None)
    # set by importlib for as long as a module is executed
    return spec is not None and not getattr(spec, "_initializing", False)


def refuse_unstarted(value: Any, who: str) -> Any:
    """Return the value; raise TypeError for a coroutine or a generator, none of which has run.

    A decorator can hide that a function is async, or a generator: it was only called. And an
    `await` is forgotten easily.
    """
    if iscoroutine(value):
        value.close()
        raise TypeError(
            f"the {who} returned a coroutine, none of which has run: declare it with async def, "
            "and await what it calls"
        )
    if isgenerator(value) or isasyncgen(value):
        raise TypeError(
            f"the {who} returned a generator, none of which has run: iterate over it instead"
        )
    return value
