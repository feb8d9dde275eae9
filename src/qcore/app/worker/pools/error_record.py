"""A handler's error as plain data, to cross between processes.

An exception is not pickled as a whole: its class may be local, its `__init__` may take other
arguments than `args` holds, an attribute may be a lock, and its own `__reduce__` may raise, or make
something else. So the process that raised it reads from it what the verdict needs (name, text,
traceback), and each argument and attribute by itself. Whatever a class of somebody's raises
meanwhile, SystemExit too, is taken for "there is none".
"""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from attrs import evolve, field

from qcore.app.worker.error_context import traceback_text
from qcore.domain.error_groups import is_group, leaves
from qcore.domain.record import record
from qcore.domain.text import said_by, shown

MAX_DEPTH: Final = 20
"""How many causes of causes, and groups in groups, travel as errors; the traceback tells of all.
Of the groups that are deeper, what is in them travels."""
MAX_SHOWN: Final = 2_000
"""Characters of the `repr` of an argument that cannot be pickled."""

_CHILDS_MAIN: Final = re.compile(r"^([ |]*)__mp_main__\.", re.MULTILINE)
"""What a class of `__main__` is called in the traceback of a child process; elsewhere just by its
name."""


@record
class Unpicklable:
    """Stand in for an argument of an error, which looks the same."""

    shown: str

    def __repr__(self) -> str:
        """Return the `repr` of what it stands in for."""
        return self.shown


@record
class ErrorRecord:
    """What is known of an error outside the process that raised it."""

    name: str
    classes: Sequence[tuple[str, str]]
    """Module and qualified name of its class and of its bases, in method resolution order."""
    said: str
    """What `str` returns of it; empty where that raises."""
    traceback: str | None = None
    args: Sequence[bytes] = ()
    """Each pickled; an `Unpicklable` for one that cannot be."""
    attributes: Mapping[str, bytes] = field(factory=dict[str, bytes])
    """Each pickled, without those that cannot be."""
    exceptions: "Sequence[ErrorRecord]" = ()
    """The errors of a group."""
    cause: "ErrorRecord | None" = None
    context: "ErrorRecord | None" = None
    suppresses_context: bool = False
    pickled: bytes | None = None
    """All of it, where its class cannot be made without its `__init__`, as some written in C."""


def recorded(error: BaseException) -> ErrorRecord:
    """Return what is to be known of an error; whatever its class does, this does not raise."""
    trace: str | None = None
    with suppress(BaseException):
        text = traceback_text(error)
        trace = text and _CHILDS_MAIN.sub(r"\1", text)
    with suppress(BaseException):
        found = evolve(_Recorder().record(error), traceback=trace)
        # names need not be text, and may be too many in each other
        pickle.dumps(found)
        return found
    return evolve(_outline(error), traceback=trace)


def _outline(error: BaseException) -> ErrorRecord:
    """Return a record of an error's class and text."""
    kind = type(error)
    classes = [
        (_named(each, "__module__"), _named(each, "__qualname__")) for each in kind.__mro__[:-1]
    ]
    return ErrorRecord(_named(kind, "__name__"), classes, said_by(error))


def _named(kind: type, attribute: str) -> str:
    """Return a name of a class, past its metaclass; what is no text has none."""
    found = vars(type)[attribute].__get__(kind)
    return str.__str__(found) if isinstance(found, str) else ""


class _Recorder:
    """Records an error and those that it leads to, each once: causes may be shared, or a circle."""

    def __init__(self) -> None:
        self._known: dict[int, ErrorRecord | None] = {}

    def record(self, error: BaseException, depth: int = MAX_DEPTH) -> ErrorRecord:
        self._known[id(error)] = None
        found = _outline(error)
        with suppress(BaseException):
            found = self._with_state(found, error, depth)
        self._known[id(error)] = found
        return found

    def _with_state(self, found: ErrorRecord, error: BaseException, depth: int) -> ErrorRecord:
        args, exceptions = error.args, _members(error, depth)
        return evolve(
            found,
            args=[
                _pickled(each) or pickle.dumps(Unpicklable(shown(each, MAX_SHOWN)))
                for each in (args[:1] if exceptions else args)
            ],
            attributes=dict(_attributes(error)),
            exceptions=[self.record(each, depth - 1) for each in exceptions],
            cause=self._linked(error.__cause__, depth),
            context=self._linked(error.__context__, depth),
            suppresses_context=error.__suppress_context__,
            pickled=None if _can_be_made(type(error), args) else _pickled(error),
        )

    def _linked(self, error: BaseException | None, depth: int) -> ErrorRecord | None:
        if error is None or not depth:
            return None
        if id(error) in self._known:
            return self._known[id(error)]
        return self.record(error, depth - 1)


def _members(error: BaseException, depth: int) -> Sequence[BaseException]:
    """Return the errors of a group, without the groups where those are too deep; else none."""
    if not depth or not is_group(error):
        return ()
    members = cast("BaseExceptionGroup[BaseException]", error).exceptions
    return members if depth > 1 else leaves(error)


def _attributes(error: BaseException) -> Iterator[tuple[str, bytes]]:
    for name, value in _state(error):
        data = _pickled(value)
        # a name may be of a class that has no other home than this process
        if data is not None and type(name) is str:
            yield name, data


def _state(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of an error's attributes, those in slots too."""
    yield from vars(error).items()
    for kind in type(error).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            with suppress(AttributeError):
                yield name, getattr(error, name)


def _pickled(value: Any) -> bytes | None:
    with suppress(BaseException):
        return pickle.dumps(value)
    return None


def _can_be_made(kind: type[BaseException], args: Sequence[Any]) -> bool:
    with suppress(BaseException):
        return isinstance(make(kind, args), kind)
    return False


def make(kind: type[BaseException], args: Sequence[Any]) -> BaseException:
    """Return an error of a class, made as the built-in class that it is derived from makes it."""
    base = next(each for each in kind.__mro__ if each.__module__ == "builtins")
    error: BaseException = base.__new__(kind, *args)
    # not its own, and of the class that has just made it
    base.__init__(error, *args)  # type: ignore[misc]
    return error
