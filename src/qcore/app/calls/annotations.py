"""Resolve a handler's annotations, one by one, and say which of them is no type."""

import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from inspect import Parameter
from types import FunctionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from qcore.app.calls.codec import Codec
from qcore.app.calls.introspection import is_module_complete, namespace_of
from qcore.app.calls.provided import is_marked
from qcore.domain.errors import InvalidOption

RESULT: Final = "return"
"""The name under which the annotation of the result is found."""

_CODE: Final = (lambda: None).__code__


def or_unset(kind: Any) -> Any:
    """Return the type of an argument that may be left out.

    Raises TypeError for an annotation that is no type of a value, such as `Final[int]`.
    """
    # not `|`, which not every annotation has
    return Union[kind, msgspec.UnsetType]  # noqa: UP007


class Annotations:
    """The annotations of a handler's parameters and of its result, by name.

    They are resolved when first needed, so that they may name classes that are defined further down
    in the module.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], annotations: Mapping[str, Any]
    ) -> None:
        self._name = name
        self._function = function
        self._annotations = annotations

    @cached_property
    def kinds(self) -> Mapping[str, Any]:
        """Return all of them as types; raise `InvalidOption` for one that cannot be resolved."""
        return {name: self.kind_of(name) for name in self._annotations}

    @property
    def known(self) -> Mapping[str, Any]:
        """Return those that can be resolved by now."""
        kinds: dict[str, Any] = {}
        for name in self._annotations:
            with suppress(InvalidOption):
                kinds[name] = self.kind_of(name)
        return kinds

    def resolve(self) -> None:
        """Raise `InvalidOption` for one that cannot be resolved."""
        _ = self.kinds

    def kind_of(self, parameter: str) -> Any:
        """Return one of them as a type, `Any` for none; raise `InvalidOption` where it is none."""
        annotation = self._annotations[parameter]
        if annotation is Parameter.empty:
            return Any
        probe = FunctionType(_CODE, namespace_of(self._function))
        probe.__annotations__ = {RESULT: annotation}
        try:
            kind = typing.get_type_hints(probe, include_extras=True)[RESULT]
            if parameter != RESULT:
                or_unset(kind)
        except NameError as error:
            raise InvalidOption(
                f"{self._part(parameter)} is annotated with {error.name!r}, which cannot be found "
                "at run time: import it outside `if TYPE_CHECKING`"
            ) from error
        except Exception as error:
            raise InvalidOption(
                f"{self._part(parameter)} has an annotation that cannot be read: {error!r}"
            ) from error
        return kind

    def check(self, codec: Codec | None, unread: Collection[str]) -> None:
        """Raise `InvalidOption` for one that is no type, as far as can be told already.

        What is not found in a module that is still being executed may be defined later. Without a
        `codec`, it is not known which types can be read; those of `unread` need not be.
        """
        for parameter in self._annotations:
            try:
                kind = self.kind_of(parameter)
            except InvalidOption as error:
                may_come = isinstance(error.__cause__, NameError | AttributeError)
                if may_come and not is_module_complete(self._function):
                    continue
                raise
            is_read = parameter not in unread and not is_marked(kind)
            why = _why_no_type(kind, codec) if codec is not None and is_read else None
            if why is not None:
                raise InvalidOption(
                    f"{self._part(parameter)} has an annotation that cannot be read: {why}"
                )

    def _part(self, parameter: str) -> str:
        what = "result" if parameter == RESULT else f"parameter {parameter!r}"
        return f"the handler of {self._name!r}: its {what}"


def _why_no_type(kind: Any, codec: Codec) -> str | None:
    """Return why no value can be read as an annotation; None where one can.

    None also where one of its classes is the reason, as that may have fields of types that are
    defined later: whoever enqueues is told.
    """
    why = codec.why_unreadable(kind)
    classes = [leaf for leaf in _leaves(kind) if isinstance(leaf, type)]
    if why is None or any(codec.why_unreadable(each) is not None for each in classes):
        return None
    return why


def _leaves(kind: Any) -> Iterator[Any]:
    """Yield the classes and whatever else an annotation is made of."""
    yield get_origin(kind) or kind
    for part in get_args(kind):
        yield from _leaves(part)
