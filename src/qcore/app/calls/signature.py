"""A handler's parameters as the schema of its payload: one object of named arguments."""

import re
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from inspect import (
    Parameter,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
    signature,
)
from typing import Any, Final

import msgspec

from qcore.app.calls.codec import Codec
from qcore.domain.errors import CannotDecode, InvalidOption, InvalidTask

MAX_SHOWN: Final = 80

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class Signature:
    """The parameters of a handler after its context, and the type of its result.

    The handler's annotations decide which arguments are valid. They are resolved when first needed,
    so that they may name classes that are defined further down in the module.
    """

    def __init__(self, name: str, function: Callable[..., Any], *, after: int = 0) -> None:
        self._name = name
        self._function = function
        context, *parameters = _checked(name, function)
        self._parameters = parameters[after:]
        self._context = context.name
        self.is_async = iscoroutinefunction(function)
        self._names = [
            p.name for p in self._parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD
        ]
        self._open = any(p.kind is Parameter.VAR_KEYWORD for p in self._parameters)

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        try:
            return typing.get_type_hints(self._function, include_extras=True)
        except NameError as error:
            raise InvalidOption(
                f"the handler of {self._name!r} is annotated with {error.name!r}, which cannot be "
                "found at run time: import it outside `if TYPE_CHECKING`"
            ) from None
        except Exception as error:
            raise InvalidOption(
                f"the annotations of the handler of {self._name!r} cannot be read: {error!r}"
            ) from error

    @cached_property
    def model(self) -> Any:
        """Return the msgspec struct that a payload is decoded as."""
        if self._open:
            return dict[str, Any]
        fields: list[Any] = []
        for parameter in self._parameters:
            kind = self._hints.get(parameter.name, Any)
            if parameter.default is Parameter.empty:
                fields.append((parameter.name, kind))
            else:
                # an argument that was not given is not in the payload: the default is applied by
                # the handler when it runs, which may be a later version of it
                unset = msgspec.field(default=msgspec.UNSET)
                fields.append((parameter.name, kind | msgspec.UnsetType, unset))
        return msgspec.defstruct(
            f"arguments of {self._name!r}", fields, kw_only=True, forbid_unknown_fields=True
        )

    @cached_property
    def returns(self) -> Any:
        """Return the type that a result is decoded as."""
        kind = self._hints.get("return", Any)
        return Any if kind is None else kind

    @cached_property
    def first(self) -> str | None:
        """Return the name of the first parameter; None if there is none, or only `**arguments`."""
        return None if self._open or not self._parameters else self._parameters[0].name

    @cached_property
    def rest(self) -> "Signature":
        """Return the signature without its first parameter, which a chain fills in."""
        return Signature(self._name, self._function, after=1)

    @cached_property
    def _positional(self) -> bool:
        return all(p.kind is Parameter.POSITIONAL_OR_KEYWORD for p in self._parameters)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any], codec: Codec) -> bytes:
        """Return arguments as a payload; raise `InvalidTask`, naming the one that does not fit."""
        given = self.given(args, kwargs)
        payload = codec.dumps(given)
        try:
            # decoded by the code that the worker will use, so that what passes here passes there
            self._loaded(payload, None, codec)
        except CannotDecode as error:
            raise InvalidTask(self._misfit(str(error), given)) from None
        return payload

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name; raise `InvalidTask` for too many, or one given twice."""
        if not args:
            return dict(kwargs)
        if len(args) > len(self._names):
            raise InvalidTask(
                f"{self._name}: {len(args)} arguments were given: expected at most "
                f"{len(self._names)} ({', '.join(self._names)})"
            )
        given = dict(zip(self._names, args, strict=False))
        if not kwargs:
            return given
        for twice in given.keys() & kwargs.keys():
            raise InvalidTask(f"{self._name}: {twice} was given twice")
        return given | dict(kwargs)

    def _misfit(self, why: str, given: Mapping[str, Any]) -> str:
        found = re.search(r"\$\.(\w+)", why)
        if found is None or found[1] not in given:
            expected = ", ".join(str(parameter) for parameter in self._parameters)
            return f"{self._name}: {why}: expected ({expected})"
        return f"{self._name}: {found[1]} is {_brief(given[found[1]])}: {why}"

    def decode(
        self, payload: bytes, content_type: str, codec: Codec
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the handler's arguments; raise `CannotDecode` if the payload does not fit."""
        model = self._loaded(payload, content_type, codec)
        if self._positional and not self._open:
            values = msgspec.structs.astuple(model)
            if msgspec.UNSET not in values:
                return values, {}
        return (), self._given(model)

    def named(self, payload: bytes, content_type: str, codec: Codec) -> dict[str, Any]:
        """Return a payload's arguments by name; raise `CannotDecode` if they do not fit."""
        return self._given(self._loaded(payload, content_type, codec))

    def _given(self, model: Any) -> dict[str, Any]:
        if self._open:
            given: dict[str, Any] = model
            return given
        pairs = msgspec.structs.asdict(model).items()
        return {name: value for name, value in pairs if value is not msgspec.UNSET}

    def _loaded(self, payload: bytes, content_type: str | None, codec: Codec) -> Any:
        model = codec.loads(payload, content_type, self.model)
        if self._open and self._context in model:
            raise CannotDecode(f"{self._context!r} is the context's name, and no argument's")
        return model


def _checked(name: str, function: Callable[..., Any]) -> list[Parameter]:
    """Return a handler's parameters; refuse those that cannot travel by name."""
    parameters = list(signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise InvalidOption(
            f"the handler of {name!r} takes no context: its first parameter must be the Context"
        )
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise InvalidOption(f"the handler of {name!r} is a generator: calling it does nothing")
    rest = parameters[1:]
    for parameter in rest:
        if parameter.kind in _NAMED or (parameter.kind is Parameter.VAR_KEYWORD and len(rest) == 1):
            continue
        raise InvalidOption(
            f"the handler of {name!r} has the parameter {parameter}: arguments travel by name, so "
            "expected named parameters, or **arguments alone"
        )
    return parameters


def _brief(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"
