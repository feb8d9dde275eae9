"""Declarations that are made again, as where a cell of a notebook is run a second time.

A module declares each thing once, and a second declaration of the same name is a mistake, which is
refused. Where somebody types at the interpreter, in Jupyter, IPython or Python's own, it is how
code is changed: there it takes the place of the first. The interpreter says which of the two it is.
"""

import sys
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from typing import Any


def is_interactive() -> bool:
    """Return whether somebody types at this interpreter, which has a prompt then."""
    return hasattr(sys, "ps1")


def is_typed(function: Any) -> bool:
    """Return whether a function was typed at a prompt, also at that of `python -i jobs.py`."""
    code = getattr(_innermost(function), "__code__", None)
    return is_interactive() and code is not None and code.co_filename.startswith("<")


def is_rerun(before: Any, now: Any) -> bool:
    """Return whether a function may take the place of one that had its place before.

    Where somebody types, one that came from the same module: a cell, or a module that was reloaded.
    """
    return is_interactive() and _module_of(before) == _module_of(now)


def put(functions: list[Any], added: Any, key: Callable[[Any], Any] = lambda each: each) -> None:
    """Add to a list, where somebody types in the place of the one of the same module and name.

    `key` returns the function of an element.
    """
    if is_interactive():
        name = _name_of(key(added))
        for number, each in enumerate(functions):
            if key(each) is key(added) or (name is not None and _name_of(key(each)) == name):
                functions[number] = added
                return
    functions.append(added)


def _module_of(function: Any) -> Any:
    return getattr(_innermost(function), "__module__", None)


def _name_of(function: Any) -> tuple[str, ...] | None:
    """Return what tells a function from others; None where that is not known.

    All lambdas of a cell have one name, and so the place of each counts, too. Functions that one
    function makes differ in what they enclose.
    """
    inner = _innermost(function)
    name = getattr(inner, "__qualname__", None)
    if name is None or "<locals>" in name:
        return None
    code = getattr(inner, "__code__", None) if "<" in name else None
    place = () if code is None else (code.co_filename, str(code.co_firstlineno))
    return (str(_module_of(function)), name, *place)


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return unwrap(function)
