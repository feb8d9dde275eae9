"""The kinds of handlers, by where they run."""

from collections.abc import Collection
from enum import StrEnum
from typing import Literal, TypeAlias


class Kind(StrEnum):
    """Where a handler runs."""

    COROUTINE = "coroutine"
    THREAD = "thread"
    PROCESS = "process"


KindName: TypeAlias = Literal["coroutine", "thread", "process"]
OneOrMoreKinds: TypeAlias = KindName | Collection[KindName]
