"""Check that a handler's first parameter can be the context, and that no other one is."""

from collections.abc import Callable
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin, is_typeddict

from qcore.app.calls.signature import Signature
from qcore.app.tasks.context import Context
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown

_UNIONS: Final = (Union, UnionType)


def check_context(name: str, signature: Signature) -> None:
    """Raise `InvalidOption` if the context cannot be the first parameter, or is a later one.

    An argument in its place would be the context, whatever a caller passes. An annotation that is
    not known at run time, or not yet, may be the context's.
    """
    context = signature.context
    if context.annotation is Parameter.empty:
        # a default such as False says what is expected
        fits = context.default is Parameter.empty or context.default is None
    else:
        fits = _may_be_context(signature.context_kind)
    if not fits:
        raise InvalidOption(
            f"the handler of {name!r} has {context} as its first parameter: expected the context "
            "there, which the worker passes, as in (ctx: Context, …)"
        )
    for parameter, kind in signature.annotations.known.items():
        if isinstance(kind, type) and issubclass(kind, Context):
            raise InvalidOption(
                f"the handler of {name!r} has the context as its parameter {parameter!r}: expected "
                "it to come first, as in (ctx: Context, …)"
            )


def refuse_data(ctx: object, function: Callable[..., Any]) -> None:
    """Raise `TypeError` for a number, a text and the like in the place of a context.

    An object of another class may be a test's own context, and None none.
    """
    if isinstance(ctx, Context) or ctx is None or type(ctx).__module__ != "builtins":
        return
    name, value = getattr(function, "__name__", "it"), shown(ctx)
    raise TypeError(
        f"{name}({value}, …) has {value} as the context, which is the first argument of a handler: "
        f"expected {name}(a_context(), {value}, …), of qcore.testing, to call it here; or "
        f"{name}.enqueue({value}, …), to have a worker call it"
    )


def _may_be_context(kind: Any) -> bool:
    """Return whether a context may be passed where a type is expected."""
    if kind is Any:
        return True
    origin = get_origin(kind)
    if origin is Annotated:
        return _may_be_context(get_args(kind)[0])
    if origin in _UNIONS:
        return any(_may_be_context(each) for each in get_args(kind))
    if isinstance(kind, TypeVar):
        return any(
            _may_be_context(each) for each in kind.__constraints__ or (kind.__bound__ or Any,)
        )
    if not isinstance(origin or kind, type) or is_typeddict(kind):
        return False
    found = cast("type", origin or kind)
    # what a protocol asks for is the type checker's to compare
    is_protocol: bool = getattr(found, "_is_protocol", False)
    return is_protocol or issubclass(Context, found) or issubclass(found, Context)
