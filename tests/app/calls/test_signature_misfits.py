import enum
import re
from collections.abc import Callable
from typing import Any

import pytest

from qcore import Context, InvalidOption, InvalidTask
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.app.calls.signature import Signature
from qcore.errors import CannotDecode

CODEC = Codec([JsonSerializer(), MessagePackSerializer()])


class Colour(enum.Enum):
    RED = "red"


def of(function: Callable[..., Any]) -> Signature:
    """Return the signature of a function."""
    return Signature("mail", function)


def called(function: Callable[..., Any], payload: bytes) -> Any:
    """Call a function as a worker would, and return what it returns."""
    args, kwargs = of(function).decode(payload, "application/json", CODEC)
    return function(None, *args, **kwargs)


def user(ctx: Context, user_id: int, email: str = "a", colour: Colour = Colour.RED) -> None:
    """Be a handler."""


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        (("x",), {}, "user_id is 'x'"),
        ((1.5,), {}, r"user_id is 1\.5"),
        ((None,), {}, "user_id is None"),
        ((1, 2), {}, "email is 2"),
        ((1,), {"colour": "blue"}, "colour is 'blue'"),
        (({"long": "x" * 500},), {}, r"user_id is \{'long': 'xxx[^}]{0,80}…"),
        ((), {}, "user_id"),
        ((1, "a", Colour.RED, 4), {}, "4 arguments.*at most 3"),
        ((1,), {"user_id": 2}, "user_id was given twice"),
        ((1,), {"phone": 2}, "phone"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], named: str
) -> None:
    """The error names the task and the value that does not fit."""
    with pytest.raises(InvalidTask, match=f"mail: .*{named}"):
        of(user).encode(args, kwargs, CODEC)


def test_a_missing_argument_is_shown_what_was_expected() -> None:
    """The error lists the parameters as the handler has them."""
    with pytest.raises(InvalidTask, match=re.escape("email: str = 'a'")):
        of(user).encode((), {}, CODEC)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b'{"user_id":',
        b"[]",
        b"7",
        b'{"user_id":"x"}',
        b"{}",
        b'{"user_id":1,"old":2}',
        b"\xff",
    ],
)
def test_a_payload_that_does_not_fit_is_not_decoded(payload: bytes) -> None:
    """Truncated, of another shape, with too little or too much: it is `CannotDecode`."""
    with pytest.raises(CannotDecode):
        of(user).decode(payload, "application/json", CODEC)


def test_an_unknown_content_type_is_named() -> None:
    """The error says which type it was and which are read here."""
    with pytest.raises(CannotDecode, match=r"'text/x'.*application/json, application/msgpack"):
        of(user).decode(b"{}", "text/x", CODEC)


def test_an_annotation_that_cannot_be_found_is_explained() -> None:
    """A type imported for the checker alone is an error that says how to mend it."""

    def handler(ctx: Context, what: Any) -> None: ...

    handler.__annotations__["what"] = "Nothing"

    with pytest.raises(InvalidOption, match=r"'mail'.*'Nothing'.*TYPE_CHECKING"):
        of(handler).encode((1,), {}, CODEC)


def no_context() -> None:
    """Take nothing."""


def only_named(*, ctx: Context) -> None:
    """Take a named context."""


def open_places(ctx: Context, *args: int) -> None:
    """Take any number of arguments."""


def by_place(ctx: Context, a: int, /) -> None:
    """Take an argument without a name."""


def half_open(ctx: Context, a: int, **more: int) -> None:
    """Take some names and all others."""


def generator(ctx: Context) -> Any:
    """Do nothing when called."""
    yield ctx


async def async_generator(ctx: Context) -> Any:
    """Do nothing when called."""
    yield ctx


@pytest.mark.parametrize(
    "function",
    [
        no_context,
        only_named,
        open_places,
        by_place,
        half_open,
        generator,
        async_generator,
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused(function: Callable[..., Any]) -> None:
    """What could not be called by name, or would do nothing when called, is refused at once."""
    with pytest.raises(InvalidOption, match="mail"):
        of(function)
