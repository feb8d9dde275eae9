"""Errors that are hard to take from one process to another, and a handler that raises them."""

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

import attrs
import msgspec
import pydantic

from qcore import Context, RateLimited, Retry, Revoke, SkipRetry, Snooze


@dataclass(frozen=True)
class Frozen(Exception):
    user: int


@attrs.frozen
class FrozenAttrs(Exception):
    user: int
    why: str = "gone"


@attrs.define(slots=True, auto_exc=False)
class Slotted(Exception):
    code: int

    def __str__(self) -> str:
        return f"code {self.code}"


class Immutable(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class OddNotes(Exception):
    __notes__ = 5  # type: ignore[assignment]


class OtherArguments(SkipRetry):
    def __init__(self, user: int, why: str) -> None:
        super().__init__(f"{user}: {why}")


class KeywordsOnly(Snooze):
    def __init__(self, *, minutes: int) -> None:
        super().__init__(60 * minutes)


class Wrapped(Exception):
    """An error that unpickles to one that says something else."""

    def __init__(self, url: str) -> None:
        super().__init__(f"GET {url} failed")


class NewNeedsMore(Exception):
    def __new__(cls, first: str, second: str) -> Self:
        return super().__new__(cls, first)


class Unreducible(SkipRetry):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no")


class Leaving(SkipRetry):
    def __reduce__(self) -> NoReturn:
        sys.exit("while it was pickled")


class Impostor(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ()


class LateImpostor(Exception):
    """An error that an attribute makes impossible to read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.bomb = Bomb()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (7,)


class Silent(Exception):
    def __str__(self) -> NoReturn:
        raise ValueError("no text")


class SilentExit(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit("while it was asked")


class Lying(SkipRetry):
    @property
    def args(self) -> NoReturn:  # type: ignore[override]
        raise asyncio.CancelledError


class SaysItsLock(Exception):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return "locked" if self.lock.locked() else "not locked"


class Refusing(Exception):
    @property
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no class")


class Text(str):
    __slots__ = ()


class Unextendable(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses")

    def __str__(self) -> str:
        return f"with {len(vars(self))} attributes"


class Meta(type):
    def __call__(cls, *args: object) -> Any:
        made = super().__call__()
        made.given = args
        return made


class OfMeta(Exception, metaclass=Meta):
    given: tuple[object, ...]

    def __str__(self) -> str:
        return repr(self.given)


class Stop(BaseException):
    pass


class Model(pydantic.BaseModel):
    number: int


def _with_lock() -> SkipRetry:
    error = SkipRetry("locked")
    error.by = threading.Lock()  # type: ignore[attr-defined]
    return error


def _final() -> Exception:
    error = Unextendable()
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


def _local() -> SkipRetry:
    class Local(SkipRetry):
        pass

    return Local("local")


def _local_base() -> BaseException:
    class Quit(SystemExit):
        pass

    return Quit("local")


def _noted() -> Exception:
    error = ValueError("noted")
    error.add_note("a note")
    error.add_note("another")
    return error


def _invalid(check: Callable[[], object]) -> BaseException:
    try:
        check()
    except ValueError as error:
        return error
    raise AssertionError


def _group(*leaves: Exception) -> Callable[[], ExceptionGroup[Any]]:
    return lambda: ExceptionGroup("several", leaves)


ODD: Final[Mapping[str, Callable[[], BaseException]]] = {
    "frozen": lambda: Frozen(7),
    "frozen attrs": lambda: FrozenAttrs(7),
    "slotted": lambda: Slotted(7),
    "immutable": lambda: Immutable("x"),
    "odd notes": lambda: OddNotes("y"),
    "other arguments": lambda: OtherArguments(7, "deleted"),
    "keywords only": lambda: KeywordsOnly(minutes=5),
    "wrapped": lambda: Wrapped("/a"),
    "__new__ needs more": lambda: NewNeedsMore("a", "b"),
    "unreducible": lambda: Unreducible("gone"),
    "leaves when pickled": lambda: Leaving("gone"),
    "impostor": lambda: Impostor("myself"),
    "impostor when read": lambda: LateImpostor("myself"),
    "silent": Silent,
    "exits when asked": SilentExit,
    "lying": lambda: Lying("gone"),
    "says its lock": SaysItsLock,
    "text of a subclass": lambda: ValueError(Text("text")),
    "no subclasses": _final,
    "metaclass": lambda: OfMeta(1, "a"),
    "a lock": _with_lock,
    "local": _local,
    "local exit": _local_base,
    "notes": _noted,
    "nothing": Exception,
    "surrogate": lambda: ValueError("\udcff"),
    "long": lambda: ValueError("x" * 100_000),
    "key": lambda: KeyError("name"),
    "os": lambda: OSError(2, "no such file", "name"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"),
    "pydantic": lambda: _invalid(lambda: Model(number="x")),  # type: ignore[arg-type]
    "msgspec": lambda: _invalid(lambda: msgspec.convert("x", int)),
    "exit": lambda: SystemExit(3),
    "exit with text": lambda: SystemExit("bye"),
    "interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
    "stop iteration": lambda: StopIteration(3),
    "cancelled": asyncio.CancelledError,
    "base": lambda: Stop("base"),
    "group": _group(ValueError("a"), Wrapped("/b")),
    "group of words": _group(SkipRetry("a"), OtherArguments(7, "b")),
    "group in a group": _group(ValueError("a"), ExceptionGroup("inner", [_local(), Frozen(7)])),
    "word in 1,000 groups": lambda: _deep(Snooze(at=2_000_000_000.0), 1_000),
    "refuses its class": lambda: Refusing("x"),
    "retry": lambda: Retry("soon", delay=7),
    "rate limited": lambda: RateLimited("100"),
    "snooze": lambda: Snooze(at=2_000_000_000.0),
    "revoke": Revoke,
}


def _deep(leaf: BaseException, depth: int) -> BaseException:
    for _ in range(depth):
        leaf = BaseExceptionGroup("in another", [leaf])
    return leaf


def fail(ctx: Context, how: str) -> None:
    """Raise an odd error."""
    raise ODD[how]()  # noqa: RSE102  (what it makes)


def fail_with_cause(ctx: Context) -> None:
    """Raise an error from another, while a third is being handled."""
    try:
        try:
            fail(ctx, "wrapped")
        except Wrapped as first:
            raise _local() from first
    except SkipRetry:
        fail(ctx, "notes")
