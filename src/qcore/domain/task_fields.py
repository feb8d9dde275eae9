"""How a field of `NewTask` is declared, and the checks that a declaration can name.

A check is a function of a field's name and a value. It raises `InvalidTask`, which names the field,
shows the value and says what was expected. `option()` makes the `metadata` of an attrs field: all
that the stores, the client and the tests need to know of it beside its type and its default.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import Attribute, evolve

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.text import shown

Check: TypeAlias = Callable[[str, Any], None]

NUMBERS: Final = frozenset({int, float})
REQUIRED: Final = object()
"""In place of a default where there is none."""
_OPTION: Final = "qcore.option"


@record
class TaskField:
    """What is declared of a field of `NewTask`."""

    name: str
    type: Any
    default: Any
    """`REQUIRED` if it has none. That of `timeout` is the one of a task without a deadline."""
    check: Check
    examples: tuple[Any, ...]
    """Values that are allowed and not the default: the tests ask every store for each of them."""
    is_changeable: bool
    """Whether `Updated` may change it in a stored task."""
    is_indexed: bool
    """Whether stores look tasks up or decide by it, so that each gives it a place of its own (a
    column, a word that a script reads); all other fields may go into one record."""
    together: Mapping[str, Any]
    """Fields without which a value of this one is refused, with a value for each."""


def option(
    check: Check,
    *examples: Any,
    changeable: bool = False,
    indexed: bool = False,
    together: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, TaskField]:
    """Return the `metadata` of an attrs field that declares it; see `TaskField`."""
    return {_OPTION: TaskField("", Any, REQUIRED, check, examples, changeable, indexed, together)}


def declared(attribute: "Attribute[Any]", default: Any) -> TaskField:
    """Return what an attrs field declares."""
    what: TaskField = attribute.metadata[_OPTION]
    return evolve(what, name=attribute.name, type=attribute.type, default=default)


def checker(attributes: "tuple[Attribute[Any], ...]") -> Callable[[Any], None]:
    """Return a function that checks each field of an object that is not its default.

    It is compiled, as attrs compiles `__init__`: a loop over the fields takes twice as long.
    """
    scope: dict[str, Any] = {}
    lines = ["def check(task):"]
    for each in attributes:
        name = each.name
        scope[f"check_{name}"] = each.metadata[_OPTION].check
        scope[f"default_{name}"] = each.default
        # a required field is never its `NOTHING`, nor one with a factory its factory
        lines += [
            f"    if task.{name} is not default_{name}:",
            f"        check_{name}({name!r}, task.{name})",
        ]
    check: Callable[[Any], None] = compiled("check", lines, scope)
    return check


def default_test(fields: Sequence[TaskField]) -> Callable[[Any], bool]:
    """Return a function that says whether some fields of a task all are their defaults.

    It is compiled: to compare two tuples takes twice as long, and every enqueue asks.
    """
    scope = {f"default_{each.name}": each.default for each in fields}
    tests = [
        f"task.{each.name} is None"
        if each.default is None
        # most are the default itself, which is sooner seen than that two are equal
        else f"(task.{each.name} is default_{each.name} or task.{each.name} == default_{each.name})"
        for each in fields
    ]
    lines = ["def is_default(task):", f"    return {' and '.join(tests) or True}"]
    test: Callable[[Any], bool] = compiled("is_default", lines, scope)
    return test


def compiled(name: str, lines: list[str], scope: dict[str, Any]) -> Any:
    """Return the function `name` that lines of source define; they know the names in `scope`."""
    exec("\n".join(lines), scope)  # noqa: S102  (the source is made of the names of fields)
    return scope[name]


def binary(what: str, value: object) -> None:
    """Refuse what is not bytes."""
    if type(value) is not bytes:
        raise InvalidTask(f"{what} is a {type(value).__name__}: expected bytes")


def text(most: int, *, without: str = "") -> Check:
    """Return a check for text of 1 to `most` printable characters, none of them in `without`."""

    def check(what: str, value: str) -> None:
        # letters and digits alone, as in an id of ours, are fine whatever the rule
        if type(value) is str and len(value) <= most and value.isalnum():
            return
        if not isinstance(value, str):
            raise InvalidTask(f"{what} is {shown(value)}: expected text")
        if not 0 < len(value) <= most or not value.isprintable() or value.isspace():
            raise InvalidTask(
                f"{what} is {shown(value)}: expected 1 to {most} printable characters, not all "
                "blank"
            )
        for mark in without:
            if mark in value:
                raise InvalidTask(f"{what} is {shown(value)}: expected no {mark!r} in it")

    return check


def one_of(*values: str) -> Check:
    """Return a check for a value that is one of a few."""

    def check(what: str, value: object) -> None:
        if value not in values:
            raise InvalidTask(
                f"{what} is {shown(value)}: expected {' or '.join(map(repr, values))}"
            )

    return check


def whole(least: int, most: int) -> Check:
    """Return a check for a whole number from `least` to `most`."""

    def check(what: str, value: int) -> None:
        if type(value) is not int or not least <= value <= most:
            raise InvalidTask(
                f"{what} is {shown(value)}: expected a whole number from {least} to {most}"
            )

    return check


def whole_or(endless: int, least: int, most: int) -> Check:
    """Return a check for a whole number from `least` to `most`, or the one that has no end."""
    inner = whole(least, most)

    def check(what: str, value: int) -> None:
        if value != endless or type(value) is not int:
            inner(what, value)

    return check


def or_none(check: Check) -> Check:
    """Return a check that lets None pass."""

    def check_unless_none(what: str, value: object) -> None:
        if value is not None:
            check(what, value)

    return check_unless_none


def seconds(what: str, value: float) -> None:
    """Refuse what is not a number of seconds."""
    if not _is_number(value):
        raise InvalidTask(f"{what} is {shown(value)}: expected 0 or more seconds")


def some_seconds(what: str, value: float | None) -> None:
    """Refuse what is neither None nor a number of seconds greater than 0."""
    if value is not None and not (_is_number(value) and value > 0):
        raise InvalidTask(f"{what} is {shown(value)}: expected more than 0 seconds, or None")


def moment(what: str, value: Moment | None) -> None:
    """Refuse what is neither None nor a moment."""
    if value is not None and not _is_number(value):
        raise InvalidTask(f"{what} is {shown(value)}: expected epoch seconds before the year 10000")


def _is_number(value: float) -> bool:
    """Return whether it is a number of seconds; one that is not a number fails any comparison."""
    return type(value) in NUMBERS and 0 <= value <= LAST_MOMENT


def text_to_text(what: str, value: Mapping[str, str]) -> None:
    """Refuse what is not a mapping of text to text; a lone surrogate is not text."""
    if not isinstance(value, Mapping):
        raise InvalidTask(f"{what} is {shown(value)}: expected a mapping of text to text")
    for key, each in value.items():
        if {type(key), type(each)} != {str}:
            raise InvalidTask(f"header {shown(key)} is {shown(each)}: expected text to text")
        try:
            (key + each).encode()
        except UnicodeEncodeError as error:
            raise InvalidTask(f"header {key!r} is {each!r}: {error.reason}") from None
