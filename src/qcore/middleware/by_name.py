"""A value for each task by its name: exact names first, else the longest prefix."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Generic, TypeVar

from qcore.app.calls.name_patterns import best_match

T = TypeVar("T")


class ByName(Generic[T]):
    """A mapping from name patterns to values; the longest pattern that matches counts."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)
        self.get = lru_cache(maxsize=4096)(self._get)
        """Return the value for a name, None where there is none."""

    def _get(self, name: str) -> T | None:
        pattern = best_match(self._values, name)
        return None if pattern is None else self._values[pattern]
