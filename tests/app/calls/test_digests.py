"""Equal arguments have equal digests, of which unique keys are made: in every process."""

import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.domain.errors import CannotEncode
from qcore.ports import Serializer

in_both_formats = pytest.mark.parametrize(
    "serializer", [JsonSerializer(), MessagePackSerializer()], ids=["json", "msgpack"]
)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@attrs.frozen
class Tags:
    names: frozenset[str]


class Tagged(pydantic.BaseModel):
    names: set[str]
    home: pydantic.HttpUrl | None = None


class Numbered(pydantic.BaseModel):
    numbers: set[int]


class One(msgspec.Struct, tag=True):
    a: int


class Other(msgspec.Struct, tag=True):
    a: int


@attrs.define
class Mail:
    to: str = attrs.field(eq=str.lower)
    sent: int = attrs.field(eq=False)


@dataclass
class Letter:
    to: str
    sent: int = field(compare=False)


def digest(value: object, serializer: Serializer) -> str:
    """Return the digest of a value."""
    return Codec([serializer]).digests({"it": value})["it"]


@in_both_formats
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1}),
        ({2: "b", 1: "a"}, {1: "a", 2: "b"}),
        (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (1, 1.0),
        ([0.0], [-0.0]),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5)))),
        (Decimal("1.0"), Decimal("1.000")),
        (Decimal(100), Decimal("1E2")),
        (Decimal("0.00"), Decimal("-0")),
        ({1, 2}, frozenset({2, 1})),
        ([Tags(frozenset("abc"))], [Tags(frozenset("cba"))]),
        ({Decimal("1.0"): 1}, {Decimal("1.00"): 1}),
        ({(1, NOON): 1}, {(1.0, NOON.astimezone(timezone(timedelta(hours=5)))): 1}),
        (time(1, tzinfo=UTC), time(6, tzinfo=timezone(timedelta(hours=5)))),
        (Mail("Ann", sent=1), Mail("ANN", sent=2)),
        ([Letter("Ann", sent=1)], [Letter("Ann", sent=2)]),
    ],
)
def test_equal_values_have_one_digest(serializer: Serializer, one: Any, other: Any) -> None:
    """However they were filled, and whichever of two equal numbers or moments they are."""
    assert one == other
    assert digest(one, serializer) == digest(other, serializer)


@in_both_formats
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        (2**53, float(2**53)),
        (One(1), Other(1)),
        (Decimal("1." + "1" * 40), Decimal("1." + "1" * 39 + "2")),
        (NOON, NOON.replace(tzinfo=None)),
        ({1: "a"}, {2: "a"}),
        (Mail("Ann", sent=1), Mail("Bob", sent=1)),
    ],
)
def test_other_values_have_another(serializer: Serializer, one: Any, other: Any) -> None:
    """Whatever their encoded forms have in common."""
    assert digest(one, serializer) != digest(other, serializer)


@in_both_formats
@given(values=st.dictionaries(st.text() | st.integers() | st.binary(), st.frozensets(st.text())))
def test_the_order_in_which_something_was_filled_does_not_count(
    serializer: Serializer, values: dict[Any, Any]
) -> None:
    """Neither of a mapping nor of the sets in it."""
    backwards = {key: frozenset(sorted(values[key], reverse=True)) for key in reversed(values)}
    try:
        expected = digest(values, serializer)
    except CannotEncode:
        return
    assert digest(backwards, serializer) == expected


def test_what_is_nested_too_deeply_is_refused() -> None:
    """As it is where it is encoded."""
    value: Any = {}
    for _ in range(900):
        value = {"a": value}
    with pytest.raises(CannotEncode):
        digest(value, JsonSerializer())


WORDS = {f"word {number}" for number in range(50)}, {frozenset("abcdef"), frozenset("uvwxyz"), None}
PROGRAM = """
from qcore.adapters.serializers import JsonSerializer
from qcore.app.calls.codec import Codec
words = {f"word {number}" for number in range(50)}, {frozenset("abcdef"), frozenset("uvwxyz"), None}
print(Codec([JsonSerializer()]).digests({"it": words})["it"])
"""


def test_a_digest_is_the_same_in_every_process() -> None:
    """The order of a set of text depends on the hash seed of its process."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told.strip() == digest(WORDS, JsonSerializer())


def test_the_order_within_a_set_does_not_count() -> None:
    """Members whose hashes collide are in the order in which they were added; in a model too."""
    one, other = set(range(0, 80, 8)), set(range(72, -8, -8))
    assert list(one) != list(other)
    assert digest(Numbered(numbers=one), JsonSerializer()) == digest(
        Numbered(numbers=other), JsonSerializer()
    )


def test_a_part_that_only_its_class_can_write_counts() -> None:
    """A pydantic model with a URL is then compared as it is written."""
    one, other = (Tagged(names=set(), home=url) for url in ("http://a.b", "http://c.d"))  # type: ignore[arg-type]
    assert digest(one, JsonSerializer()) != digest(other, JsonSerializer())
