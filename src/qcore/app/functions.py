"""What kind of function something is, whatever is wrapped around it."""

from collections.abc import Callable
from functools import partial
from inspect import unwrap
from typing import Any


def is_a(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a function, what it wraps, or an object's `__call__` is of a kind."""
    while isinstance(function, partial):
        function = function.func
    inner = unwrap(function)
    return kind(inner) or kind(type(inner).__call__)
