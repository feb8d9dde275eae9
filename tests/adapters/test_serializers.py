import math
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.domain.errors import CannotDecode, CannotEncode
from qcore.ports import Serializer

JSON = JsonSerializer()
MESSAGE_PACK = MessagePackSerializer()

in_both_formats = pytest.mark.parametrize(
    "serializer", [JSON, MESSAGE_PACK], ids=["json", "msgpack"]
)


class Colour(Enum):
    RED = "red"


class Size(StrEnum):
    SMALL = "small"


@attrs.define
class Person:
    name: str
    age: int = 0


@attrs.define
class Positive:
    number: int = attrs.field(validator=attrs.validators.gt(0))


class Address(TypedDict):
    street: str
    zip_code: int


class Point(NamedTuple):
    x: float
    y: float


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    when: datetime
    number: int = pydantic.Field(alias="No", gt=0)
    ratio: float = 1.0

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return 2 * self.number


class Duck:
    """What serializers ask of a model, without pydantic."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duck) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]  # (how Python says unhashable)

    def model_dump(self, **_: object) -> object:
        return {"value": self.value}

    @classmethod
    def model_validate(cls, plain: dict[str, object]) -> "Duck":
        return cls(plain["value"])


class Text(str):
    """A subclass, as markup libraries have."""

    __slots__ = ()


class Number(float):
    """A subclass, as numpy has."""


WHEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

KNOWN: list[tuple[object, Any]] = [
    ({"user_id": 7, "email": "a@example.com", "nothing": None}, dict[str, object]),
    (Person("Ada", 36), Person),
    ([Person("Ada")], list[Person]),
    ({"street": "Main", "zip_code": 1}, Address),
    (Point(1.0, 2.0), Point),
    (Colour.RED, Colour),
    (Size.SMALL, Size),
    (WHEN, datetime),
    (WHEN.astimezone(timezone(timedelta(hours=5, minutes=30))), datetime),
    (WHEN.replace(tzinfo=None), datetime),
    (date(2030, 1, 2), date),
    (timedelta(days=1, microseconds=1), timedelta),
    (uuid.UUID(int=7), uuid.UUID),
    (Decimal("1.10"), Decimal),
    ({1, 2}, set[int]),
    (frozenset({1}), frozenset[int]),
    ((1, "a"), tuple[int, str]),
    (b"\xff\x00", bytes),
    ({1: "a"}, dict[int, str]),
    ({uuid.UUID(int=7): 1}, dict[uuid.UUID, int]),
    (OrderedDict(a=1), dict[str, int]),
    (Text("x"), str),
    (Number(1.5), float),
    (Model(when=WHEN, No=3), Model),
    ([Model(when=WHEN, No=3), None], list[Model | None]),
    (Duck([1]), Duck),
    (2**63, int),
    (-(2**63), int),
    ("\N{PILE OF POO}\0", str),
]


@in_both_formats
@pytest.mark.parametrize(("value", "kind"), KNOWN, ids=lambda part: type(part).__name__)
def test_what_was_written_is_read_as_it_was(
    serializer: Serializer, value: object, kind: type
) -> None:
    """Every type that is supported comes back equal when it is read as that type."""
    assert serializer.loads(serializer.dumps(value), kind) == value


@pytest.mark.parametrize(
    ("serializer", "content_type"),
    [(JSON, "application/json"), (MESSAGE_PACK, "application/msgpack")],
)
def test_the_content_type_names_the_format(serializer: Serializer, content_type: str) -> None:
    """What is stored with the bytes is the format's own name."""
    assert serializer.content_type == content_type


def test_json_is_what_any_language_can_read() -> None:
    """Named parameters are one compact JSON object in UTF-8."""
    assert JSON.dumps({"user_id": 7, "name": "Zoë"}) == '{"user_id":7,"name":"Zoë"}'.encode()


def test_a_model_is_written_by_alias_and_without_what_it_computes() -> None:
    """The form of a pydantic model is the one that the model itself reads."""
    data = JSON.dumps(Model(when=WHEN, No=3))
    assert data == b'{"when":"2030-01-02T03:04:05.678901Z","No":3,"ratio":1.0}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [n], lambda n: [None, 2**70, {"a": n}]])
def test_json_refuses_what_is_no_number(wrap: Any, number: float) -> None:
    """NaN and the infinities are refused rather than written as null, wherever they are."""
    with pytest.raises(CannotEncode, match="NaN"):
        JSON.dumps(wrap(number))


def test_message_pack_has_nan() -> None:
    """MessagePack has a form for NaN and the infinities, also within a pydantic model."""
    model = Model(when=WHEN, No=3, ratio=math.inf)
    assert math.isnan(MESSAGE_PACK.loads(MESSAGE_PACK.dumps(math.nan), float))
    assert MESSAGE_PACK.loads(MESSAGE_PACK.dumps(model), Model) == model


@pytest.mark.parametrize(
    "value", [[None], [2**70], "null", b"\xcb\x7f\xf8", {"null": 1.5, "n": None}]
)
def test_what_only_looks_like_nan_is_written(value: object) -> None:
    """Null itself, text that says null and bytes that look like NaN are no reason to refuse."""
    kind: Any = type(value)
    assert JSON.loads(JSON.dumps([value, None]), tuple[kind, None]) == (value, None)


def test_json_writes_whole_numbers_of_any_size() -> None:
    """A number beyond 64 bits comes back in every digit."""
    assert JSON.loads(JSON.dumps(3**1000), int) == 3**1000


def deep() -> object:
    """Return a list in a list in a list, deeper than a stack of 16 MiB."""
    value: list[object] = []
    for _ in range(500_000):
        value = [value]
    return value


def circular() -> object:
    """Return a mapping that contains itself."""
    value: dict[str, object] = {}
    value["again"] = value
    return value


@in_both_formats
@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), r"the object at \$ "),
        (range(10**12), r"the range at \$ "),
        ({"users": [Person("Ada"), Person(object())]}, r"the object at \$\['users'\]\[1\]\.name "),
        ([Model(when=WHEN, No=3), 1j], r"the complex at \$\[1\] "),
        (Person, r"the type at \$ "),
        ({"a": "x\ud800"}, r"the str at \$\['a'\] "),
        ({"a": {"\ud800": 1}}, r"the str at \$\['a'\] key '\\ud800' "),
        (circular(), r"the value at \$(\['again'\]){16}… .* too deeply"),
        ({"k" * 1000: object()}, r"the object at \$\['k{50,60}…\]"),
    ],
    ids=["object", "range", "attrs", "list", "class", "surrogate", "key", "circle", "long"],
)
def test_an_error_names_the_place_in_the_value(
    serializer: Serializer, value: object, place: str
) -> None:
    """What cannot be encoded is refused with the path to the part at fault, and the reason."""
    assert_refused(serializer.dumps, value, place)


@pytest.fixture
def known_stack() -> Iterator[None]:
    """Give threads that start now a stack of 4 MiB, or up to 16 where glibc uses one again.

    It holds the 10,000 levels at which Python 3.13 gives up whatever the stack, and not the 500,000
    of `deep`: 3.14 looks at the stack alone.
    """
    before = threading.stack_size(4 << 20)
    yield
    threading.stack_size(before)


@in_both_formats
def test_a_value_that_is_nested_too_deeply_is_refused(
    serializer: Serializer, known_stack: None
) -> None:
    """How deep that is depends on the stack since Python 3.14, before it is a fixed number."""
    with ThreadPoolExecutor(1) as thread:
        dumps = serializer.dumps
        place = r"the value at \$(\[0\]){16}… .* too deeply"
        assert_refused(lambda value: thread.submit(dumps, value).result(), deep(), place)


def assert_refused(dumps: Callable[[object], bytes], value: object, place: str) -> None:
    """See that an error says where in a value, and why, in few words that can be stored."""
    with pytest.raises(CannotEncode, match=place) as raised:
        dumps(value)
    assert raised.value.__cause__ is not None
    assert len(str(raised.value)) < 1000
    # the message goes to logs and stores
    str(raised.value).encode()


def test_a_model_that_cannot_be_dumped_is_refused_with_its_own_reason() -> None:
    """An error of any kind that a value's own code raises is passed on as the reason."""

    class Sick:
        def model_dump(self, **_: object) -> object:
            raise KeyError("no luck")

    with pytest.raises(CannotEncode, match=r"the Sick at \$\[0\] .*KeyError: 'no luck'"):
        JSON.dumps([Sick()])


@in_both_formats
def test_a_value_of_another_shape_is_refused_with_its_place(serializer: Serializer) -> None:
    """What does not fit says what was expected, what was there, and where."""
    data = serializer.dumps({"name": "Ada", "age": "old"})
    with pytest.raises(CannotDecode, match=r"Person: Expected `int`, got `str` - at `\$\.age`"):
        serializer.loads(data, Person)


@in_both_formats
@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ({"number": 0}, Positive, "'number' must be > 0"),
        ({"when": "2030-01-02T03:04:05Z", "No": 0}, Model, "greater than 0"),
        ({"when": "2030-01-02T03:04:05Z", "No": 1, "more": 1}, Model, "not permitted"),
        ({}, Duck, "KeyError: 'value'"),
        (1, complex, "no reading a complex"),
        (1, "Nothing", "not supported"),
    ],
    ids=["attrs", "pydantic", "extra", "duck", "unreadable", "no-type"],
)
def test_what_a_type_refuses_cannot_be_decoded(
    serializer: Serializer, value: object, kind: Any, reason: str
) -> None:
    """A validator's objection, or a type that nobody can read, is a reason like any other."""
    with pytest.raises(CannotDecode, match=reason):
        serializer.loads(serializer.dumps(value), kind)


@pytest.mark.parametrize(
    ("serializer", "data"),
    [
        (JSON, b""),
        (JSON, b'{"a":'),
        (JSON, b"[1]x"),
        (JSON, b"\xff"),
        (JSON, b'"\xed\xa0\x80"'),
        (JSON, b"[" * 100_000),
        (JSON, b"1e999"),
        (JSON, b"9" * 5_000),
        (MESSAGE_PACK, b""),
        (MESSAGE_PACK, b"\xc1"),
        (MESSAGE_PACK, b"\x92\x01"),
        (MESSAGE_PACK, b"\x01\x01"),
        (MESSAGE_PACK, b"\x91" * 100_000),
        (MESSAGE_PACK, b"\x81\x81\x01\x02\x03"),
    ],
)
def test_bytes_that_are_none_of_the_format_cannot_be_decoded(
    serializer: Serializer, data: bytes
) -> None:
    """Truncated, trailing, foreign and malicious bytes all end in the one error."""
    with pytest.raises(CannotDecode, match=r"cannot be read as object: ."):
        serializer.loads(data, object)


@in_both_formats
def test_the_decoder_of_a_type_is_made_once(
    serializer: Serializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading as a type that was read before builds nothing, as building takes longest."""
    serializer.loads(serializer.dumps([1]), list[int])
    monkeypatch.setattr(msgspec.json, "Decoder", None)
    monkeypatch.setattr(msgspec.msgpack, "Decoder", None)
    assert serializer.loads(serializer.dumps([2]), list[int]) == [2]


def test_a_type_that_cannot_be_hashed_is_read_all_the_same() -> None:
    """An annotation with metadata that no dict can have as its key is no error."""
    kind: Any = Annotated[int, {"metadata": []}]
    assert JSON.loads(b"7", kind) == 7


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.text(st.characters(exclude_categories=())),
        st.binary(),
        st.decimals(),
        st.uuids(),
        st.datetimes(timezones=st.none() | st.just(UTC)),
        st.timedeltas(),
        st.complex_numbers(),
        st.sampled_from([Colour.RED, Size.SMALL, object, Person("Ada", 2**70)]),
    ),
    lambda parts: st.one_of(
        st.lists(parts),
        st.dictionaries(st.text() | st.integers() | st.none() | st.floats() | st.tuples(), parts),
        st.builds(Person, parts, parts),
    ),
    max_leaves=10,
)


@in_both_formats
@given(value=anything)
def test_dumps_returns_bytes_that_can_be_read_or_says_why_not(
    serializer: Serializer, value: object
) -> None:
    """Whatever the value, the answer is bytes that `loads` takes, or `CannotEncode`."""
    with suppress(CannotEncode):
        serializer.loads(serializer.dumps(value), object)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


@in_both_formats
@given(value=plain)
def test_plain_values_come_back_or_are_refused(serializer: Serializer, value: object) -> None:
    """Plain data is never changed on the way: it is equal when it is read, or it is refused."""
    try:
        data = serializer.dumps(value)
    except CannotEncode:
        return
    assert serializer.loads(data, object) == value


@in_both_formats
@given(data=st.binary(), kind=st.sampled_from([object, int, Person, Model, list[datetime]]))
def test_loads_returns_a_value_or_says_why_not(
    serializer: Serializer, data: bytes, kind: Any
) -> None:
    """Whatever the bytes, the answer is a value or `CannotDecode`."""
    with suppress(CannotDecode):
        serializer.loads(data, kind)


@given(key=st.integers() | st.dates() | st.uuids() | st.text(), value=st.integers())
def test_keys_come_back_as_the_type_that_is_asked_for(key: Any, value: int) -> None:
    """A key that is no text is written as text in JSON, and read as what it was."""
    assert JSON.loads(JSON.dumps({key: value}), dict[type(key), int]) == {key: value}


@in_both_formats
@pytest.mark.parametrize("path", [Path("a/b.jpg"), PurePosixPath("/etc/x")])
def test_a_path_travels_as_text(serializer: Serializer, path: Path) -> None:
    """It is read back as the path type asked for, and as text by whoever asks for none."""
    data = serializer.dumps({"path": path})
    assert serializer.loads(data, dict[str, type(path)]) == {"path": path}  # type: ignore[misc]
    assert serializer.loads(data, dict[str, str]) == {"path": str(path)}
