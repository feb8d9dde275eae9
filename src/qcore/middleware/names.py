"""Something for some tasks and not for others, by their names."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from qcore.app.router import PREFIX_ENDS_WITH

T = TypeVar("T")


class ByName(Generic[T]):
    """Find a task's value as a router finds its handler.

    The exact name comes first, else the longest prefix: a prefix ends in ":", and the empty one is
    the prefix of all.
    """

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)
        prefixes = [each for each in values if not each or each.endswith(PREFIX_ENDS_WITH)]
        self._prefixes = sorted(prefixes, key=len, reverse=True)

    def get(self, name: str) -> T | None:
        """Return the value for a name, None where there is none."""
        if name in self._values:
            return self._values[name]
        found = next((each for each in self._prefixes if name.startswith(each)), None)
        return None if found is None else self._values[found]
