"""How a child process finds the very function that a handler with `process=True` was given.

A function does not travel: the child imports a module. That runs the module's declarations once
more, and the handler that is declared there as in the worker has the function: also where it is
decorated, a lambda or a bound method, or where its module gives its name to something else later
on. A handler that is declared later, by code that an import does not run, must have a function that
its module has under the function's own name.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from inspect import currentframe, isclass, ismethod
from operator import attrgetter
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from attrs import evolve, field

from qcore.app.tasks.interactive import is_interactive
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record

MAIN: Final = "__main__"
CHILDS_MAIN: Final = "__mp_main__"
"""The name under which a child of `multiprocessing` runs the main module of its parent."""


class Declared(Protocol):
    """A handler, which a decorator puts in the place of its function."""

    @property
    def function(self) -> Callable[..., Any]:
        """Return the function that it was given."""
        ...


class NamedAround(Protocol):
    """An around, which a child process declares by importing a module."""

    @property
    def name(self) -> str:
        """Return its module and name."""
        ...

    @property
    def module(self) -> str | None:
        """Return the module; None where no import declares it."""
        ...


@record
class ProcessFunction:
    """Where a child process finds a function."""

    module: str
    """The module to import."""
    name: str
    """The qualified name of the function."""
    pattern: str = ""
    """The pattern of the handler that is declared with it."""
    line: int = 0
    """Where its code begins: another function of that name may be declared for another queue."""
    included_by: tuple[str, ...] = field(default=(), eq=False)
    """Modules to import too, or functions to call, MODULE:NAME: they include its router or say
    where its tasks wait, and so give it its clients and options."""
    arounds: tuple[str, ...] = field(default=(), eq=False)
    """Names of the arounds to be put around it, the outermost first."""


_declared: Final[WeakValueDictionary[ProcessFunction, Any]] = WeakValueDictionary()


def declare(handler: Declared, pattern: str) -> ProcessFunction:
    """Return where a child process finds the function of a handler, which is declared right now.

    Raises `InvalidOption` where it would find none, or another one.
    """
    function = handler.function
    module, name = _named(function)
    running = running_module()
    if is_interactive() and module == MAIN:
        raise InvalidOption(
            f"the handler of {pattern!r} is {function!r}, which is declared where somebody types, "
            "as in a notebook: expected with process=True a function of a module, which another "
            "process can import"
        )
    if running not in (None, MAIN):
        module = running
    elif not _is_in_module(function, module, name, running):
        raise InvalidOption(
            f"the handler of {pattern!r} is {function!r}, which another process cannot find under "
            f"the name {name!r} in {module}: expected with process=True a function of a module "
            "under its own name, or a declaration that runs when a module is imported"
        )
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
    where = ProcessFunction(MAIN if module == CHILDS_MAIN else module, name, pattern, line)
    _declared[where] = handler
    return where


def included(where: ProcessFunction, module: str) -> ProcessFunction:
    """Return where a function is found whose router another module has included."""
    name = MAIN if module == CHILDS_MAIN else module
    return evolve(where, included_by=(*where.included_by, name))


def with_arounds(where: ProcessFunction, arounds: Sequence[NamedAround]) -> ProcessFunction:
    """Return where a function is found that is to be called inside arounds, the first outermost."""
    if not arounds:
        return where
    for module in dict.fromkeys(each.module for each in arounds):
        if module is not None:
            where = included(where, module)
    return evolve(where, arounds=names_of(arounds))


def names_of(arounds: Sequence[NamedAround]) -> tuple[str, ...]:
    """Return the names of arounds, the same in a worker and in its child processes.

    What the main module declares has another module's name there.
    """
    main = f"{CHILDS_MAIN}."
    return tuple(
        f"{MAIN}.{each.name.removeprefix(main)}" if each.name.startswith(main) else each.name
        for each in arounds
    )


def find(where: ProcessFunction) -> Any:
    """Return the handler, or else the function, that is found somewhere, in a child process.

    Raises `InvalidOption` where there is none, and what the import of its module raises.
    """
    module = import_module(where.module)
    for name in where.included_by:
        _prepare(name)
    handler = _declared.get(where)
    if handler is not None:
        return handler
    try:
        return attrgetter(where.name)(module)
    except AttributeError:
        raise InvalidOption(
            f"{where.module}, imported by another process, neither has {where.name} nor declares a "
            f"handler of {where.pattern!r}: is it declared there whenever the module is imported?"
        ) from None


@cache
def _prepare(name: str) -> None:
    """Import a module, or call a function of one; once in a process."""
    module, colon, function = name.partition(":")
    found = import_module(module)
    if colon:
        attrgetter(function)(found)()


def _named(function: Callable[..., Any]) -> tuple[str, str]:
    """Return the module and the qualified name of a function; those of its class if it has none."""
    if ismethod(function) and isclass(function.__self__):
        # a class method names the class that defines it, which may be a parent of the one it is of
        return function.__self__.__module__, f"{function.__self__.__qualname__}.{function.__name__}"
    kind = type(function)
    name = getattr(function, "__qualname__", f"<{kind.__qualname__}>")
    return getattr(function, "__module__", None) or kind.__module__, name


def _is_in_module(
    function: Callable[..., Any], module: str, name: str, running: str | None
) -> bool:
    """Return whether a module has a function under a name, or is about to, by a decorator."""
    try:
        found = attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        return running == module and "<" not in name
    if ismethod(function):
        # each access makes another object
        return bool(found == function)
    return found is function or getattr(found, "function", None) is function


def running_module() -> str | None:
    """Return the module whose own code calls this, directly or not, as it is being imported."""
    frame = currentframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name = frame.f_globals.get("__name__")
            module = sys.modules.get(name) if isinstance(name, str) else None
            if module is not None and vars(module) is frame.f_globals:
                return name
        frame = frame.f_back
    return None
