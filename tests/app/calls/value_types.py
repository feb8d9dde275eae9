"""Types of values that arrive, or that are refused as they would arrive changed."""

import enum
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic


class Level(enum.IntEnum):
    HIGH = 9


class Word(enum.StrEnum):
    YES = "yes"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int


class Named(TypedDict, total=False):
    name: str


@attrs.define
class Private:
    a: int
    _token: str = "none"


@attrs.define(eq=False)
class Identity:
    a: Any


@attrs.frozen(cache_hash=True)
class Hashed:
    a: int


@attrs.define
class OwnFactory:
    a: int
    b: int = attrs.Factory(lambda self: self.a + 1, takes_self=True)


@attrs.define
class Cached:
    a: int

    @cached_property
    def twice(self) -> int:
        return 2 * self.a


@dataclass
class Derived:
    a: int
    twice: int = field(init=False, default=0)


@dataclass
class Taxed:
    price: int

    def __post_init__(self) -> None:
        self.price += 1


@dataclass
class Holder:
    what: Any


@dataclass
class Part(Holder):
    more: int = 0


@dataclass
class Initialised:
    a: int
    password: InitVar[str] = "x"


class Tagged(msgspec.Struct, tag=True, rename="camel", omit_defaults=True):
    some_id: int
    more: int = 0


class Loud:
    """What no comparison can ask: a value that raises whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise SystemExit("asked")

    __hash__ = None  # type: ignore[assignment]  (how Python says unhashable)

    def __repr__(self) -> str:
        raise SystemExit("asked")

    def model_dump(self, **_: object) -> object:
        return {}

    @classmethod
    def model_validate(cls, _plain: object) -> "Loud":
        return cls()


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr


class Out(pydantic.BaseModel):
    a: int = pydantic.Field(default=0, serialization_alias="A")


class In(pydantic.BaseModel):
    a: int = pydantic.Field(default=0, validation_alias="in_a")


class Left(pydantic.BaseModel):
    b: int = pydantic.Field(default=0, exclude=True)


class Masked(pydantic.BaseModel):
    card: str

    @pydantic.field_serializer("card")
    def mask(self, card: str) -> str:
        return "****" + card[-4:]


class Shouting(pydantic.BaseModel):
    text: str

    @pydantic.field_validator("text")
    @classmethod
    def shout(cls, text: str) -> str:
        return text + "!"


class Event(pydantic.BaseModel):
    kind: str


class Sized(Event):
    size: int


class Envelope(pydantic.BaseModel):
    event: pydantic.SerializeAsAny[Event]


class Noted(pydantic.BaseModel):
    a: int
    _note: str = pydantic.PrivateAttr(default="")


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int


class Numbers(pydantic.RootModel[list[int]]):
    pass


def noted() -> Noted:
    """Return a model whose private attribute is not its default."""
    model = Noted(a=1)
    model._note = "seen"  # noqa: SLF001
    return model


def derived() -> Derived:
    """Return an object with a field that its `__init__` does not take."""
    value = Derived(1)
    value.twice = 2
    return value
