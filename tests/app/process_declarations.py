"""Handlers with `process=True` that their functions' names do not lead to, and what they return.

All are declared by the code of this module, which a child process imports too.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from qcore import Context
from tests.app.kit import Lab

lab: Final = Lab()
other: Final = Lab()
"""Another queue, which has handlers of the same names."""


class Parent:
    """A class with methods that can be handlers."""

    name = "parent"

    @classmethod
    def speak(cls, ctx: Context) -> str:
        return cls.name

    @staticmethod
    def stay(ctx: Context) -> str:
        return "static"

    def act(self, ctx: Context) -> str:
        return f"an object of {type(self).__name__}"


class Child(Parent):
    """A class that inherits them."""

    name = "child"


def times_ten(function: Callable[[Context], int]) -> Callable[[Context], int]:
    """Return a function that is called like the one given."""

    @wraps(function)
    def inner(ctx: Context) -> int:
        return function(ctx) * 10

    return inner


def two(ctx: Context) -> int:
    """Return two."""
    return 2


def returning(value: object) -> Callable[[Context], object]:
    """Return a function that returns a value."""

    def inner(ctx: Context) -> object:
        return value

    return inner


def replaced(ctx: Context) -> str:
    """Return who it is."""
    return "the first"


def _declare(name: str, function: Callable[[Context], object], queue: Lab = lab) -> None:
    queue.task(name, process=True, retention=600, max_retry=0)(function)


_declare("class method", Child.speak)
_declare("static method", Child.stay)
_declare("method", Child().act)
_declare("plain", two)
_declare("decorated", times_ten(two))
_declare("lambda", lambda ctx: "lambda")
_declare("lambda", lambda ctx: "lambda of another queue", other)
_declare("replaced", replaced)
for _number in (1, 2):
    _declare(f"closure {_number}", returning(_number))


def replaced(ctx: Context) -> str:  # type: ignore[no-redef]
    """Return who it is."""
    return "the second"


@lab.task("one", process=True, retention=600)
def same(ctx: Context) -> str:
    """Return who it is."""
    return "one"


@lab.task("another", process=True, retention=600)
@times_ten
def same(ctx: Context) -> int:  # type: ignore[no-redef]  # noqa: F811
    """Return who it is."""
    return 5


RESULTS: Final[dict[str, Any]] = {
    "class method": "child",
    "static method": "static",
    "method": "an object of Child",
    "plain": 2,
    "decorated": 20,
    "lambda": "lambda",
    "replaced": "the first",
    "closure 1": 1,
    "closure 2": 2,
    "one": "one",
    "another": 50,
}
