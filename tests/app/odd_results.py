"""Results that are hard to take from one process to another, and handlers that return them."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn

from qcore import Context
from tests.app.kit import Lab

lab: Final = Lab()


class Plain:
    """A class that no serializer knows."""


class Unreadable:
    """A class whose objects can be pickled, and not be read."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return _burst, ()


def _burst() -> None:
    raise SystemExit(7)


def _local() -> list[Any]:
    @dataclass
    class Point:
        x: int

    class Text(str):
        __slots__ = ()

    class Colour(Enum):
        RED = "red"

    return [Point(1), {"a": Text("b")}, Colour.RED]


ODD: Final[Mapping[str, Callable[[], object]]] = {
    "nothing": lambda: None,
    "local classes": _local,
    "a lambda": lambda: lambda: None,
    "a lock": threading.Lock,
    "a lock inside": lambda: {"a": [1, threading.Lock()]},
    "a generator": lambda: (each for each in ()),
    "a coroutine": lambda: asyncio.sleep(0),
    "an object": Plain,
    "unreadable": Unreadable,
    "an error": lambda: ValueError("no failure"),
}


@lab.task("thread", max_retry=0)
def in_thread(ctx: Context, what: str) -> object:
    """Return an odd value."""
    return ODD[what]()


@lab.task("process", max_retry=0, process=True)
def in_process(ctx: Context, what: str) -> object:
    """Return an odd value."""
    return ODD[what]()


@lab.task("lengths", max_retry=0, process=True)
def length(ctx: Context, data: memoryview) -> int:
    """Return the length of what cannot be pickled."""
    return len(data)


@dataclass
class Point:
    """A class that a serializer knows, and whose objects cannot be pickled."""

    x: int

    def __reduce__(self) -> NoReturn:
        raise TypeError("no")


@lab.task("pass on", max_retry=0, process=True)
def pass_on(ctx: Context) -> Point:
    """Return for a next step what cannot be pickled."""
    return Point(7)


@lab.task("take", retention=600)
async def take(ctx: Context, point: Point) -> int:
    """Return where a point is."""
    return point.x
