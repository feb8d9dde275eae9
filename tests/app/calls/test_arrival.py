"""Values arrive as they were given, or are refused where they are given: arguments and results."""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore import Context, InvalidTask, State
from qcore.adapters.sealing import EncryptedSerializer
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.app.calls.signature import Signature
from qcore.app.tasks.router_tree import Next
from qcore.errors import CannotDecode, ResultNotKept
from qcore.ports import Serializer
from tests.app.calls.value_types import (
    Cached,
    Derived,
    Envelope,
    Event,
    Hashed,
    Holder,
    Identity,
    In,
    Initialised,
    Left,
    Level,
    Login,
    Loud,
    Masked,
    Mode,
    Named,
    Noted,
    Numbers,
    Open,
    Out,
    OwnFactory,
    Part,
    Point,
    Private,
    Shouting,
    Sized,
    Tagged,
    Taxed,
    Word,
    derived,
    noted,
)
from tests.app.kit import Lab, stored

T = TypeVar("T")
JSON = JsonSerializer()
MESSAGE_PACK = MessagePackSerializer()
BERLIN = ZoneInfo("Europe/Berlin")
in_both_formats = pytest.mark.parametrize(
    "serializer", [JSON, MESSAGE_PACK], ids=["json", "msgpack"]
)


class Sent:
    """A handler with one parameter and a result of a type, and what sends and reads either."""

    def __init__(self, kind: Any, serializer: Serializer) -> None:
        def handler(ctx: Context, what: Any) -> Any: ...

        handler.__annotations__.update({"what": kind, "return": kind})
        self.signature = Signature("mail", handler)
        self.codec = Codec([serializer])

    def argument(self, value: object) -> Any:
        """Return what arrives of an argument."""
        payload = self.signature.encode((value,), {}, self.codec)
        return self.signature.named(payload, self.codec.content_type, self.codec)["what"]

    def result(self, value: object) -> Any:
        """Return what is read of a result."""
        data = self.signature.encode_result(value, self.codec)
        return self.codec.loads(data, self.codec.content_type, self.signature.returns)


EQUAL: list[tuple[Any, Any]] = [
    (Level, Level.HIGH),
    (int, Level.HIGH),
    (str, Word.YES),
    (Mode, Mode.READ | Mode.WRITE),
    (float, 1),
    (float, -0.0),
    (int | str, "1"),
    (float | int, 1),
    (Named, {"name": "a"}),
    (Named, {}),
    (Point, Point(1)),
    (dict[str, int], OrderedDict(a=1)),
    (dict[str, int], Counter(a=1)),
    (dict[int, int], {1: 2}),
    (Mapping[str, int], {"a": 1}),
    (set[str], {"a", "b"}),
    (set[int], frozenset({1})),
    (Iterable[int], [1, 2]),
    (tuple, (1, [2])),
    (Any, {"a": [1, None, "x", 1.5, True]}),
    (T, 5),
    (datetime, datetime(2025, 7, 1, tzinfo=BERLIN)),
    (timedelta, timedelta(microseconds=-1)),
    (Decimal, Decimal("-0")),
    (Decimal, Decimal("1E+500")),
    (Private, Private(1)),
    (Cached, Cached(1)),
    (Derived, derived()),
    (Tagged, Tagged(1, 2)),
    (Noted, Noted(a=1)),
    (Open, Open(a=1, b=2)),  # type: ignore[call-arg]
    (Numbers, Numbers([1])),
    (Envelope, Envelope(event=Event(kind="k"))),
]

REFUSED: list[tuple[Any, Any]] = [
    (float, 2**53 + 1),
    (str, UUID(int=1)),
    (str, Path("a")),
    (list[int], {1, 2}),
    (Any, (1, 2)),
    (Any, {"a": [(1,)]}),
    (dict[str, Any], {"a": (1,)}),
    (list, (1,)),
    (Any, Point(1)),
    (Any, {1}),
    (Any, UUID(int=1)),
    (Any, Mode.READ),
    (Any, Event(kind="k")),
    (Named, {"name": "a", "more": 1}),
    (Private, Private(1, "secret")),
    (OwnFactory, OwnFactory(1)),
    (Hashed, Hashed(1)),
    (list[Hashed], [Hashed(1)]),
    (Taxed, Taxed(1)),
    (Holder, Holder((1,))),
    (Holder, Part(1, 2)),
    (Initialised, Initialised(1)),
    (Login, Login(password=pydantic.SecretStr("hunter2"))),
    (list[Login], [Login(password=pydantic.SecretStr("hunter2"))]),
    (Out, Out(a=5)),
    (dict[str, Out], {"x": Out(a=5)}),
    (Out | None, Out(a=5)),
    (In, In(in_a=5)),
    (Left, Left(b=5)),
    (Masked, Masked(card="1234567812345678")),
    (Shouting, Shouting(text="a")),
    (Event, Sized(kind="k", size=5)),
    (Envelope, Envelope(event=Sized(kind="k", size=5))),
    (Noted, noted()),
    (Open, Open(a=1, b=(2,))),  # type: ignore[call-arg]
    (Loud, Loud()),
]


def shown(value: object) -> str:
    """Return an id of a case."""
    return getattr(value, "__name__", type(value).__name__)


@in_both_formats
@pytest.mark.parametrize(("kind", "value"), EQUAL, ids=shown)
def test_a_value_arrives_equal(serializer: Serializer, kind: Any, value: Any) -> None:
    """As an argument and as a result."""
    sent = Sent(kind, serializer)
    assert sent.argument(value) == value
    assert sent.result(value) == value


@in_both_formats
@pytest.mark.parametrize(("kind", "value"), REFUSED, ids=shown)
def test_a_value_that_would_change_is_refused(
    serializer: Serializer, kind: Any, value: Any
) -> None:
    """The error names the parameter, and shows no secret."""
    sent = Sent(kind, serializer)
    with pytest.raises(InvalidTask, match="what") as argument:
        sent.argument(value)
    with pytest.raises(InvalidTask) as result:
        sent.result(value)
    for raised in (argument, result):
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(("kind", "value"), [(str, b"abc"), (bytes, "abcd")])
def test_text_is_never_taken_for_bytes(kind: Any, value: Any) -> None:
    """In JSON either may look like the other; in MessagePack none does, to whoever reads it."""
    for serializer in (JSON, MESSAGE_PACK):
        with pytest.raises(InvalidTask, match="what"):
            Sent(kind, serializer).argument(value)
    with pytest.raises(InvalidTask):
        Sent(kind, JSON).result(value)
    with pytest.raises(CannotDecode):
        Sent(kind, MESSAGE_PACK).result(value)


ONLY_JSON_CHANGES: list[tuple[Any, Any]] = [
    (dict, {1: "a"}),
    (dict, {1: "a", "1": "b"}),
    (dict[int | str, str], {1: "a", "1": "b"}),
    (dict, {None: 1}),
    (dict, {True: 1}),
    (dict[bool, int], {True: 1}),
    (Any, {"a": {1: 2}}),
    (Any, b"abc"),
    (datetime, datetime(2025, 1, 1, tzinfo=timezone(timedelta(seconds=1)))),
    (float, math.inf),
]


@pytest.mark.parametrize(("kind", "value"), ONLY_JSON_CHANGES, ids=shown)
def test_what_json_alone_would_change_is_refused_there(kind: Any, value: Any) -> None:
    """Keys of two types that are one as text, bytes of no type, an offset in seconds."""
    for send in (Sent(kind, JSON).argument, Sent(kind, JSON).result):
        with pytest.raises(InvalidTask):
            send(value)
    assert Sent(kind, MESSAGE_PACK).argument(value) == value
    assert Sent(kind, MESSAGE_PACK).result(value) == value


NEVER_EQUAL: list[tuple[Any, Any, Callable[[Any], Any]]] = [
    (float, math.nan, math.isnan),
    (list[float], [1.0, math.nan], lambda them: math.isnan(them[1])),
    (set[float], {1.0, math.nan}, lambda them: any(math.isnan(each) for each in them)),
    (Identity, Identity(math.nan), lambda it: math.isnan(it.a)),
]


@pytest.mark.parametrize(("kind", "value", "is_there"), NEVER_EQUAL)
def test_what_is_not_equal_to_its_own_copy_arrives(
    kind: Any, value: Any, is_there: Callable[[Any], bool]
) -> None:
    """A NaN, alone and within others."""
    sent = Sent(kind, MESSAGE_PACK)
    assert is_there(sent.argument(value))
    assert is_there(sent.result(value))


@in_both_formats
def test_an_object_without_an_equality_is_compared_by_its_fields(serializer: Serializer) -> None:
    """By all of them, however deep."""
    assert Sent(list[Identity], serializer).argument([Identity(1)])[0].a == 1
    assert Sent(Decimal, serializer).argument(Decimal("NaN")).is_nan()
    with pytest.raises(InvalidTask, match=r"the tuple at \$\.what\[0\]\.a\['b'\] arrives as list"):
        Sent(list[Identity], serializer).argument([Identity({"b": (1,)})])


class Opaque:
    """A class that neither has an equality nor tells its fields."""

    def __init__(self, value: object) -> None:
        self.value = value

    def model_dump(self, **_: object) -> object:
        return self.value

    @classmethod
    def model_validate(cls, value: object) -> "Opaque":
        return cls("" if value is None else value)


@pytest.mark.parametrize("serializer", [JSON, EncryptedSerializer(keys={"k": bytes(32)})])
def test_what_has_neither_equality_nor_fields_is_compared_encoded(serializer: Serializer) -> None:
    """In its unsealed form, as the sealed one is another each time."""
    sent = Sent(list[Opaque], serializer)
    assert sent.argument([Opaque(1)])[0].value == 1
    assert sent.result([Opaque(1)])[0].value == 1
    with pytest.raises(InvalidTask, match=r"the Opaque at \$\.what\[0\] arrives as another Opaque"):
        sent.argument([Opaque(None)])


@in_both_formats
@pytest.mark.parametrize("fold", [0, 1])
def test_a_moment_in_a_repeated_hour_arrives(serializer: Serializer, fold: int) -> None:
    """It is the same moment, though Python says it equals none of another zone (PEP 495)."""
    moment = datetime(2025, 10, 26, 2, 30, fold=fold, tzinfo=BERLIN)
    arrived = Sent(datetime, serializer).argument(moment)
    assert arrived.timestamp() == moment.timestamp()


@in_both_formats
def test_an_annotation_may_make_something_else_of_plain_data(serializer: Serializer) -> None:
    """Of text a moment, of a mapping an object, of a tuple the sequence that it names."""
    assert Sent(datetime, serializer).argument("2025-01-01T00:00:00Z") == datetime(
        2025, 1, 1, tzinfo=UTC
    )
    assert Sent(Event, serializer).argument({"kind": "k"}) == Event(kind="k")
    assert Sent(set[int], serializer).argument([1, 2]) == {1, 2}
    assert Sent(Sequence[int], serializer).argument((1, 2)) == [1, 2]
    assert Sent(tuple[int, ...], serializer).argument([1, 2]) == (1, 2)
    assert Sent(list[Sequence[int]], serializer).argument([(1,)]) == [[1]]


def test_an_error_names_the_place_and_what_to_do() -> None:
    """The task, the parameter, the part of it, and what it would have become."""
    with pytest.raises(InvalidTask) as raised:
        Sent(Masked, JSON).argument(Masked(card="1234567812345678"))
    assert str(raised.value) == (
        "mail: what would arrive changed: the str at $.what.card arrives as another str: annotate "
        "it with a type that keeps it, or choose another form for it"
    )


def test_the_argument_at_fault_is_named_though_others_fit() -> None:
    """Also where it is the type that cannot be read, of which no place in the data tells."""

    def handler(ctx: Context, first: int, second: Initialised, third: Any) -> None: ...

    signature, codec = Signature("mail", handler), Codec([JSON])
    with pytest.raises(InvalidTask, match="mail: second is Initialised"):
        signature.encode((1, Initialised(1), 3), {}, codec)


def test_open_arguments_are_compared_too() -> None:
    """A handler that takes any arguments names no types."""

    def handler(ctx: Context, **arguments: Any) -> None: ...

    with pytest.raises(InvalidTask, match=r"mail: when would .* the datetime at \$\.when arrives"):
        Signature("mail", handler).encode((), {"when": datetime(2025, 1, 1)}, Codec([JSON]))  # noqa: DTZ001


async def test_a_result_that_would_change_makes_its_task_dead() -> None:
    """With the reason; nobody reads a value that the handler has not returned."""
    lab = Lab()

    @lab.task("card", retention=60)
    async def card(ctx: Context) -> Masked:
        return Masked(card="1234567812345678")

    handle = await card.enqueue()
    await lab.run_due()
    task = await stored(handle)
    assert task.state is State.DEAD
    assert str(task.error).startswith(
        "its result cannot be kept: it would arrive changed: the str at $.card"
    )
    with pytest.raises(ResultNotKept, match=r"\$\.card"):
        await handle.result()


async def test_a_result_of_another_type_is_kept_where_it_can_be_read() -> None:
    """As a middleware's, which is none of the handler's: whoever reads it by its id gets it."""
    lab = Lab()

    @lab.task("count", retention=60)
    async def count(ctx: Context) -> int:
        return 1

    @lab.middleware
    async def listing(ctx: Context, run: Next) -> object:
        return [await run(ctx)]

    handle = await count.enqueue()
    await lab.run_due()
    assert await lab.client.handle("default", handle.id).result() == [1]
    with pytest.raises(CannotDecode):
        await handle.result()


async def test_a_result_whose_annotation_cannot_be_read_arrives_as_plain_data() -> None:
    """Where it is plain data; the worker refuses what would arrive as something else."""
    lab = Lab()

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, *, plain: bool) -> str | datetime:
        return "text" if plain else datetime.now(UTC)

    kept, refused = await mail.enqueue(plain=True), await mail.enqueue(plain=False)
    await lab.run_due()
    assert await kept.result() == "text"
    with pytest.raises(ResultNotKept, match="arrives as str"):
        await refused.result()


async def test_a_result_that_nobody_keeps_may_be_anything() -> None:
    """Without retention it is neither encoded nor compared."""
    lab = Lab()

    @lab.task("card")
    async def card(ctx: Context) -> Masked:
        return Masked(card="1234567812345678")

    handle = await card.enqueue()
    await lab.run_due()
    assert await handle.status() is State.GONE


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(BERLIN))
    | st.timedeltas()
    | st.sampled_from([Level.HIGH, Word.YES, Mode.READ, Point(1), Private(1, "x"), Out(a=5)]),
    lambda parts: (
        st.lists(parts, max_size=4)
        | st.tuples(parts, parts)
        | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none(), parts, max_size=4)
        | st.builds(Holder, parts)
        | st.builds(Identity, parts)
    ),
    max_leaves=8,
)


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, in this test's own words."""
    if type(one) is not type(other) or one == other:
        return bool(one == other)
    match one:
        case dict():
            parts = [(one[key], other[key]) for key in one]
        case list() | tuple():
            parts = list(zip(one, other, strict=True))
        case Holder():
            parts = [(one.what, other.what)]
        case Identity():
            parts = [(one.a, other.a)]
        case datetime():
            return bool(one.timestamp() == other.timestamp())
        case _:
            return repr(one) == repr(other)
    return all(is_same(*pair) for pair in parts)


@in_both_formats
@given(value=plain)
def test_whatever_the_value_it_arrives_or_is_refused(serializer: Serializer, value: Any) -> None:
    """Under its own type, and under an annotation that names none: never as something else."""
    for kind in (type(value), Any):
        sent = Sent(kind, serializer)
        for way in (sent.argument, sent.result):
            try:
                arrived = way(value)
            except InvalidTask:
                continue
            assert is_same(arrived, value)
