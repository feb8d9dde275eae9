import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from qcore import Context, InvalidTask
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.app.calls.signature import Signature
from qcore.errors import CannotDecode

CODEC = Codec([JsonSerializer(), MessagePackSerializer()])


@attrs.define
class AttrsUser:
    name: str
    age: int = 3


@dataclass
class DataUser:
    name: str
    tags: list[str]


class DictUser(TypedDict):
    name: str


class StructUser(msgspec.Struct):
    name: str


class PydanticUser(pydantic.BaseModel):
    name: str
    born: datetime


class NamedUser(NamedTuple):
    name: str


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


MOMENT = datetime(2027, 1, 1, 12, 30, tzinfo=UTC)

VALUES: list[tuple[Any, Any]] = [
    (int, 7),
    (float, 2.5),
    (str, "ä\u0000\U0001f40d"),
    (bytes, b"\x00\xff"),
    (bool, True),
    (int | None, None),
    (list[int], [1, 2]),
    (tuple[int, str], (1, "a")),
    (set[int], {1, 2}),
    (dict[str, list[int]], {"a": [1]}),
    (dict[int, str], {1: "a"}),
    (datetime, MOMENT),
    (date, date(2027, 1, 1)),
    (timedelta, timedelta(seconds=1.5)),
    (uuid.UUID, uuid.UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Level, Level.HIGH),
    (Literal["a", "b"], "b"),
    (Annotated[int, msgspec.Meta(ge=0)], 3),
    (AttrsUser, AttrsUser("a", 4)),
    (DataUser, DataUser("a", ["b"])),
    (DictUser, {"name": "a"}),
    (StructUser, StructUser("a")),
    (NamedUser, NamedUser("a")),
    (PydanticUser, PydanticUser(name="a", born=MOMENT)),
    (list[AttrsUser], [AttrsUser("a"), AttrsUser("b")]),
    (PydanticUser | None, PydanticUser(name="a", born=MOMENT)),
    (list[PydanticUser], [PydanticUser(name="a", born=MOMENT)]),
    (Any, {"a": [1, None]}),
]


def of(function: Callable[..., Any]) -> Signature:
    """Return the signature of a function."""
    return Signature("mail", function)


def called(function: Callable[..., Any], payload: bytes) -> Any:
    """Call a function as a worker would, and return what it returns."""
    args, kwargs = of(function).decoder("application/json", CODEC)(payload)
    return function(None, *args, **kwargs)


def there_and_back(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Send arguments, and return what the function makes of them at the other end."""
    return called(function, of(function).encode(args, kwargs, CODEC))


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_an_argument_arrives_as_what_it_is_annotated(kind: Any, value: Any) -> None:
    """A value of the annotated type is sent, and an equal one of that type arrives."""

    def handler(ctx: Context, what: Any) -> Any:
        return what

    handler.__annotations__["what"] = kind
    arrived = there_and_back(handler, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_an_argument_with_a_default_arrives_too(kind: Any, value: Any) -> None:
    """A default changes nothing about what can be sent."""

    def handler(ctx: Context, what: Any = "default") -> Any:
        return what

    handler.__annotations__["what"] = kind
    assert there_and_back(handler, what=value) == value
    assert there_and_back(handler) == "default"


def test_arguments_travel_as_one_object_of_names() -> None:
    """By position or by name: what is stored is a JSON object that any language can read."""

    def handler(ctx: Context, user_id: int, email: str) -> None: ...

    by_place = of(handler).encode((7, "a"), {}, CODEC)
    assert by_place == b'{"user_id":7,"email":"a"}'
    assert of(handler).encode((), {"user_id": 7, "email": "a"}, CODEC) == by_place
    assert of(handler).encode((7,), {"email": "a"}, CODEC) == by_place


def test_defaults_do_not_travel() -> None:
    """What is not given is the handler's own default when it runs, not when it was asked for."""

    def old(ctx: Context, a: int, b: int = 2, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    def new(ctx: Context, a: int, b: int = 20, c: int = 30) -> tuple[int, int, int]:
        return a, b, c

    payload = of(old).encode((1,), {"c": 4}, CODEC)
    assert payload == b'{"a":1,"c":4}'
    assert called(new, payload) == (1, 20, 4)


def test_named_only_parameters_are_named() -> None:
    """Keyword-only parameters arrive as keywords."""

    def handler(ctx: Context, a: int, *, b: int, c: int = 3) -> tuple[int, int, int]:
        return a, b, c

    assert there_and_back(handler, 1, b=2) == (1, 2, 3)


def test_open_arguments_take_whatever_comes() -> None:
    """A handler of `**arguments` gets all names as plain data."""

    def handler(ctx: Context, **arguments: Any) -> dict[str, Any]:
        return arguments

    assert there_and_back(handler, a=1, b=[None]) == {"a": 1, "b": [None]}
    assert there_and_back(handler) == {}


def test_open_arguments_cannot_take_the_place_of_the_context() -> None:
    """An argument of the context's own name is refused: the handler could not be called with it."""

    def handler(ctx: Context, **arguments: Any) -> dict[str, Any]:
        return arguments

    with pytest.raises(InvalidTask, match="ctx"):
        of(handler).encode((), {"ctx": 1}, CODEC)
    with pytest.raises(CannotDecode, match="ctx"):
        called(handler, b'{"ctx":1}')


def test_a_handler_without_annotations_takes_plain_data() -> None:
    """Without annotations the names alone must fit."""

    def handler(ctx, a, b=2):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return a, b  # pyright: ignore[reportUnknownVariableType]  (unannotated on purpose)

    bare: Callable[..., Any] = handler  # pyright: ignore[reportUnknownVariableType]  (as above)

    assert there_and_back(bare, {"x": [1]}) == ({"x": [1]}, 2)
    with pytest.raises(InvalidTask, match="mail"):
        there_and_back(bare, 1, c=3)


def test_what_another_serializer_wrote_is_read() -> None:
    """The stored content type chooses the reader, so a change of serializer needs no pause."""

    def user(ctx: Context, user_id: int, email: str = "a") -> None: ...

    payload = of(user).encode((7,), {}, Codec([MessagePackSerializer()]))
    assert of(user).decode(payload, "application/msgpack", CODEC) == ((), {"user_id": 7})


def test_an_annotation_may_come_later() -> None:
    """A handler may name what is defined after it."""

    def handler(ctx: Context, what: "Later") -> Any:
        return what

    assert there_and_back(handler, Later("a")) == Later("a")


def test_a_result_is_read_as_the_annotation_says() -> None:
    """The return annotation is the type of the result; none is anything."""

    def some(ctx: Context) -> list[AttrsUser]: ...  # type: ignore[empty-body]

    def none(ctx: Context) -> None: ...

    def unsaid(ctx: Context): ...  # type: ignore[no-untyped-def] # noqa: ANN202

    assert of(some).returns == list[AttrsUser]
    assert of(none).returns in (Any, type(None))
    assert of(unsaid).returns is Any


@dataclass
class Later:
    name: str
