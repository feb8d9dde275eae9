"""What kind of function something is, whatever is wrapped around it."""

from collections.abc import Callable
from functools import partial
from inspect import iscoroutine, unwrap
from typing import Any


def unwraps_to(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a function, what it wraps, or an object's `__call__` is of a kind."""
    while isinstance(function, partial):
        function = function.func
    inner = unwrap(function)
    return kind(inner) or kind(type(inner).__call__)


def refuse_coroutine(value: Any, who: str) -> Any:
    """Refuse a coroutine, as a decorator may hide that a function is async: nothing has run."""
    if iscoroutine(value):
        value.close()
        raise TypeError(f"the {who} returned a coroutine: declare it with async def")
    return value
