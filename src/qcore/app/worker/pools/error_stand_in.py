"""An error made of the record of one that another process raised.

It is of the same class, made without calling that class's `__init__`; where that cannot be, or
would say something else, or raises when it is asked for its parts, of the nearest class that it is
derived from, under the same name and with the same text.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from operator import attrgetter
from typing import Any

from qcore.app.worker.error_context import keep_traceback
from qcore.app.worker.pools.error_record import ErrorRecord, make, recorded
from qcore.domain.error_groups import is_readable
from qcore.domain.errors import QcoreError
from qcore.domain.text import said_by, trace_of


class RemoteError(QcoreError):
    """Stand in, under its name, for an error whose class cannot be made outside its process."""


def readable(error: BaseException) -> BaseException:
    """Return an error; one like it, where its class raises when it is asked for its parts."""
    if is_readable(error):
        return error
    return rebuilt(recorded(error)).with_traceback(trace_of(error))


def rebuilt(found: ErrorRecord) -> BaseException:
    """Return an error that is like the one recorded, and keeps its traceback as text."""
    error = _Rebuilder().rebuild(found)
    if found.traceback is not None:
        keep_traceback(error, found.traceback)
    return error


class _Rebuilder:
    """Makes errors of records, of each of them one."""

    def __init__(self) -> None:
        self._made: dict[int, BaseException] = {}

    def rebuild(self, found: ErrorRecord) -> BaseException:
        made = self._made.get(id(found))
        if made is not None:
            return made
        candidates = self._candidates(found)
        error: BaseException = next(each for each in candidates if _is_like(each, found))
        self._made[id(found)] = error
        for name, link in (("__cause__", found.cause), ("__context__", found.context)):
            if link is not None:
                _set(error, name, self.rebuild(link))
        _set(error, "__suppress_context__", found.suppresses_context)
        return error

    def _candidates(self, found: ErrorRecord) -> Iterator[Any]:
        """Yield errors that are less and less like the one recorded, None for what cannot be."""
        args: list[Any] = [_loaded(each) for each in found.args]
        if found.exceptions:
            args.append([self.rebuild(each) for each in found.exceptions])
        own, *bases = [_class(*names) for names in found.classes]
        yield _error(found, own, args)
        if found.pickled is not None:
            yield _loaded(found.pickled)
        # of the last one, at any rate, one can be made
        for base in (own, *bases, Exception):
            yield _error(found, _stand_in(found, base), args)


def _is_like(error: Any, found: ErrorRecord) -> bool:
    """Return whether it is an error of the same name that says the same."""
    is_error = issubclass(type(error), BaseException) and is_readable(error)
    return is_error and type(error).__name__ == found.name and said_by(error) == found.said


def _error(
    found: ErrorRecord, kind: type[BaseException] | None, args: Sequence[Any]
) -> BaseException | None:
    """Return an error of a class with what was recorded; None if it cannot be made."""
    if kind is None:
        return None
    with suppress(BaseException):
        error = make(kind, args)
        for name, data in found.attributes.items():
            _set(error, name, _loaded(data))
        return error
    return None


def _set(error: BaseException, name: str, value: Any) -> None:
    # past the `__setattr__` of a class whose errors are frozen
    with suppress(BaseException):
        object.__setattr__(error, name, value)


def _loaded(data: bytes) -> Any:
    """Return what was pickled; None where that cannot be, as in a module that is not here."""
    with suppress(BaseException):
        return pickle.loads(data)  # noqa: S301  (of our own process)
    return None


def _class(module: str, name: str) -> type[BaseException] | None:
    with suppress(BaseException):
        found = attrgetter(name)(import_module(module))
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _stand_in(found: ErrorRecord, base: type[BaseException] | None) -> type[BaseException] | None:
    """Return a class derived from `base`, under the name of the error, that says what it said."""
    if base is None:
        return None
    module, qualname = found.classes[0]
    bases = (RemoteError, base) if issubclass(base, Exception) else (base,)
    namespace: dict[str, Any] = {"__module__": module, "__qualname__": qualname}

    def say(_self: object) -> str:
        return found.said

    namespace["__str__"] = say
    with suppress(BaseException):
        return type(found.name, bases, namespace)
    return None
