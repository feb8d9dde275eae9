"""A dict that cannot be changed: what was checked when it was made stays true of it."""

from typing import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("this mapping cannot be changed: make another one of it, as {**it, …}")


_refused: Any = _refuse
"""In the place of the methods of a dict that change it, each with a signature of its own."""


class FrozenDict(dict[K, V]):
    """A copy of a mapping. Whoever wants another makes one of it: `{**frozen, "key": "value"}`.

    Not a `MappingProxyType`: that cannot be pickled, and a task may travel to another process.
    """

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refused
    clear = pop = popitem = setdefault = update = _refused

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what it was made of: pickle would set the items one by one."""
        return FrozenDict, (dict(self),)
