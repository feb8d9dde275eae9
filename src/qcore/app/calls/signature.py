"""A handler's parameters as the schema of its payload: one object of named arguments."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from inspect import Parameter, iscoroutinefunction
from typing import Any, Final, TypeAlias

import msgspec

from qcore.app.calls.annotations import RESULT, Annotations, or_unset
from qcore.app.calls.arrival import Arrival
from qcore.app.calls.codec import Codec
from qcore.app.calls.introspection import innermost, signature_of
from qcore.app.calls.parameters import parameters_of
from qcore.app.calls.provided import Provided, provided_kind
from qcore.app.calls.remote_result import RemoteResult
from qcore.app.calls.user_code import reraise_ctrl_c
from qcore.domain.errors import CannotDecode, InvalidTask, UnknownFormat
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.text import shown

_OPEN: Final = Arrival(Any)

NO_NAMES: Final[Mapping[str, Any]] = FrozenDict()

Decode: TypeAlias = Callable[[bytes], tuple[Sequence[Any], Mapping[str, Any]]]
"""Returns a handler's arguments, by place and by name, of a payload; see `Signature.decode`."""


class Signature:
    """The parameters of a handler after its context, and the type of its result.

    The handler's annotations decide which arguments are valid. A value arrives equal to what was
    given, or is refused where it is given.
    """

    def __init__(self, name: str, function: Callable[..., Any], *, after: int = 0) -> None:
        self._name = name
        self._function = function
        self.context, *self._after_it = parameters_of(name, function)
        """The parameter that receives the context."""
        self._skipped = after
        annotations = {each.name: each.annotation for each in self._after_it}
        self.annotations = Annotations(
            name, function, {**annotations, RESULT: signature_of(function).return_annotation}
        )
        self.is_async = iscoroutinefunction(function) or iscoroutinefunction(innermost(function))
        self._open = any(p.kind is Parameter.VAR_KEYWORD for p in self._after_it)

    @property
    def context_kind(self) -> Any:
        """Return the type that the context's parameter is annotated with, `Any` if unknown."""
        name = self.context.name
        known = Annotations(self._name, self._function, {name: self.context.annotation}).known
        return known.get(name, Any)

    def check(self, codec: Codec | None) -> None:
        """Raise `InvalidOption` for an annotation that is wrong, as far as can be told already.

        Without a `codec`, it is not known which types of arguments can be read.
        """
        filled = [each.name for each in self._after_it if each.default is Provided]
        # what a result is read as matters only where one is kept
        self.annotations.check(codec, {RESULT, *filled})

    def resolve(self) -> None:
        """Raise `InvalidOption` for an annotation that cannot be resolved, or is of no class."""
        _ = self._parameters

    @cached_property
    def provided(self) -> Mapping[str, type]:
        """Return the types of the parameters that the worker fills in, by name."""
        kinds = self.annotations.kinds
        found = {p.name: provided_kind(self._name, p, kinds[p.name]) for p in self._after_it}
        return {name: kind for name, kind in found.items() if kind is not None}

    @cached_property
    def _parameters(self) -> Sequence[Parameter]:
        """Return those of the task's arguments."""
        provided = self.provided
        return [p for p in self._after_it if p.name not in provided][self._skipped :]

    @cached_property
    def _names(self) -> Sequence[str]:
        placed = Parameter.POSITIONAL_OR_KEYWORD
        return [p.name for p in self._parameters if p.kind is placed]

    @cached_property
    def model(self) -> Any:
        """Return the msgspec struct that a payload is decoded as."""
        kinds = self._kinds
        if self._open:
            return dict[str, Any]
        fields: list[Any] = []
        for parameter in self._parameters:
            kind = kinds[parameter.name]
            if parameter.default is Parameter.empty:
                fields.append((parameter.name, kind))
            else:
                # an argument that was not given is not in the payload: the default is applied by
                # the handler when it runs, which may be a later version of it
                unset = msgspec.field(default=msgspec.UNSET)
                fields.append((parameter.name, or_unset(kind), unset))
        return msgspec.defstruct(
            f"arguments of {self._name!r}", fields, kw_only=True, forbid_unknown_fields=True
        )

    @cached_property
    def returns(self) -> Any:
        """Return the type that a result is decoded as."""
        return self._kinds[RESULT]

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
        placed = Parameter.POSITIONAL_OR_KEYWORD
        return not self.provided and all(p.kind is placed for p in self._parameters)

    @cached_property
    def _has_optional(self) -> bool:
        return any(p.default is not Parameter.empty for p in self._parameters)

    # --- enqueue -------------------------------------------------------------------------------

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any], codec: Codec) -> bytes:
        """Return arguments as a payload.

        Raises `InvalidTask`, naming the argument, for one that does not fit and for one that would
        not arrive as it was given.
        """
        given = self.given(args, kwargs) if args else dict(kwargs)
        payload = codec.dumps(given)
        try:
            # decoded by the code that the worker will use, so that what passes here passes there
            arrived = (
                self._loaded(payload, None, codec)
                if self._open
                else codec.loads(payload, None, self.model)
            )
        except CannotDecode as error:
            raise InvalidTask(self._misfit(str(error), given, codec)) from None
        exact = self._exact
        for name, value in given.items():
            if type(value) is not exact.get(name):
                self._refuse_changed(name, value, arrived, codec)
        return payload

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name; raise `InvalidTask` for too many, or one given twice."""
        if not args:
            return dict(kwargs)
        if len(args) > len(self._names):
            raise InvalidTask(
                f"{self._name}: {len(args)} arguments were given: expected at most "
                f"{len(self._names)} ({', '.join(self._names)}){self._after_context}"
            )
        given = dict(zip(self._names, args, strict=False))
        if not kwargs:
            return given
        for twice in given.keys() & kwargs.keys():
            raise InvalidTask(f"{self._name}: {twice} was given twice{self._after_context}")
        return given | dict(kwargs)

    def _misfit(self, why: str, given: Mapping[str, Any], codec: Codec) -> str:
        found = re.search(r"\$\.(\w+)", why)
        if found is not None and found[1] in given:
            return f"{self._name}: {_argument(found[1], given)}: {why}{self._after_context}"
        known = {each.name: self._kinds[each.name] for each in self._parameters}
        # of a type that cannot be read no place in the data tells
        for name in (name for name in given if name in known):
            try:
                codec.loads(codec.dumps(given[name]), None, known[name])
            except CannotDecode as error:
                return f"{self._name}: {_argument(name, given)}: {error}{self._after_context}"
        return f"{self._name}: {why}: {self._expected}"

    @cached_property
    def _arrivals(self) -> Mapping[str, Arrival]:
        return {name: Arrival(kind) for name, kind in self._kinds.items()}

    @cached_property
    def _exact(self) -> Mapping[str, type]:
        """Return the types of the parameters whose values need no comparison."""
        return {name: each.kind for name, each in self._arrivals.items() if each.is_exact}

    def _refuse_changed(self, name: str, given: object, model: Any, codec: Codec) -> None:
        """Raise `InvalidTask` for an argument that would not arrive as it was given."""
        arrived = model[name] if self._open else getattr(model, name)
        arrival = _OPEN if self._open else self._arrivals[name]
        why = arrival.why_not(given, arrived, codec, f"$.{name}")
        if why is not None:
            raise InvalidTask(f"{self._name}: {name} {why}")

    # --- run -----------------------------------------------------------------------------------

    def decode(
        self, payload: bytes, content_type: str, codec: Codec
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the handler's arguments.

        Raises `CannotDecode` if the payload does not fit: `UnknownFormat` where it has an argument,
        or is of a format, that is not known here, but may be to a newer version.
        """
        try:
            model = (
                self._loaded(payload, content_type, codec)
                if self._open
                else codec.loads(payload, content_type, self.model)
            )
        except CannotDecode as error:
            if (given := _as_data(payload, content_type, codec)) is None:
                raise
            raise self._misread(given, error) from error
        if self._positional and not self._open:
            values = msgspec.structs.astuple(model)
            # by identity: `in` asks the arguments' own `__eq__`
            if not self._has_optional or all(each is not msgspec.UNSET for each in values):
                return values, {}
        return (), self._given(model)

    def decoder(self, content_type: str, codec: Codec) -> Decode:
        """Return `decode` for payloads of one format, with what is the same for all looked up.

        Raises `UnknownFormat` or `CannotDecode` where nothing here reads that format.
        """
        decode = partial(self.decode, content_type=content_type, codec=codec)
        if self._open or self._has_optional or not self._positional:
            return decode
        read, astuple = codec.reader(content_type, self.model), msgspec.structs.astuple

        def decode_positional(payload: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
            try:
                return astuple(read(payload)), NO_NAMES
            except BaseException as error:  # noqa: BLE001  (whatever the classes of values raise)
                reraise_ctrl_c(error)
                # once more, to say what does not fit
                return decode(payload)

        return decode_positional

    def named(self, payload: bytes, content_type: str, codec: Codec) -> dict[str, Any]:
        """Return a payload's arguments by name; raise `CannotDecode` if they do not fit."""
        return self._given(self._loaded(payload, content_type, codec))

    def encode_result(self, value: object, codec: Codec) -> bytes:
        """Return a result as bytes; raise `CannotEncode` for one that would arrive changed."""
        if isinstance(value, RemoteResult):
            return value.encoded()
        return self._arrivals[RESULT].encode(value, codec)

    def _misread(self, given: Mapping[str, Any], error: CannotDecode) -> CannotDecode:
        """Return why arguments do not fit: `UnknownFormat` if one is none of the handler's."""
        known = {each.name for each in self._parameters}
        unknown = [shown(name) for name in given if name not in known]
        if unknown and not self._open:
            return UnknownFormat(
                f"{self._name} has no argument {', '.join(unknown)} here: {self._expected}"
            )
        return CannotDecode(f"{error}{self._after_context}")

    @cached_property
    def _kinds(self) -> Mapping[str, Any]:
        names = [RESULT, *(each.name for each in self._parameters)]
        return {name: self.annotations.kinds[name] for name in names}

    @property
    def _expected(self) -> str:
        parameters = ", ".join(f"{parameter}" for parameter in self._parameters)
        return f"expected ({parameters}){self._after_context}"

    @property
    def _after_context(self) -> str:
        return f"; {self.context.name}, the context, comes first, and the worker passes it"

    def _given(self, model: Any) -> dict[str, Any]:
        if self._open:
            given: dict[str, Any] = model
            return given
        pairs = msgspec.structs.asdict(model).items()
        return {name: value for name, value in pairs if value is not msgspec.UNSET}

    def _loaded(self, payload: bytes, content_type: str | None, codec: Codec) -> Any:
        model = codec.loads(payload, content_type, self.model)
        if self._open and self.context.name in model:
            raise CannotDecode(f"{self.context.name!r} is the context's name, and no argument's")
        return model


def _as_data(payload: bytes, content_type: str, codec: Codec) -> Mapping[str, Any] | None:
    """Return arguments by name as plain data; None for a payload that is no such thing."""
    try:
        return codec.loads(payload, content_type, dict[str, Any])
    except CannotDecode:
        return None


def _argument(name: str, given: Mapping[str, Any]) -> str:
    return f"{name} is {shown(given[name])}"
