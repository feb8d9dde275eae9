"""Tell what kind of function a handler is underneath its decorators and partials."""

from collections.abc import Callable
from functools import partial
from inspect import iscoroutine, unwrap
from typing import Any


def unwraps_to(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether `kind` (such as `iscoroutinefunction`) holds of the innermost function.

    `functools.partial` and whatever sets `__wrapped__` are unwrapped; of a callable object its
    `__call__` counts.
    """
    while isinstance(function, partial):
        function = function.func
    inner = unwrap(function)
    return kind(inner) or kind(type(inner).__call__)


def refuse_coroutine(value: Any, who: str) -> Any:
    """Return the value; raise TypeError for a coroutine, none of which has run.

    A decorator can hide that a function is async: it was taken for a plain one and only called.
    """
    if iscoroutine(value):
        value.close()
        raise TypeError(f"the {who} returned a coroutine: declare it with async def")
    return value
