"""The parameters of a handler, which must be such that arguments can travel by name."""

from collections.abc import Callable
from inspect import Parameter
from typing import Any, Final

from qcore.app.calls.introspection import is_generator, signature_of
from qcore.domain.errors import InvalidOption
from qcore.domain.text import shown

_PLACED: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def parameters_of(name: str, function: Callable[..., Any]) -> list[Parameter]:
    """Return a handler's parameters, the context's first; raise `InvalidOption` for wrong ones."""
    try:
        parameters = list(signature_of(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidOption(
            f"the handler of {name!r} is {shown(function)}: expected a function ({error})"
        ) from error
    if not parameters or parameters[0].kind not in _PLACED:
        raise InvalidOption(
            f"the handler of {name!r} takes no context: its first parameter must be the Context"
        )
    if is_generator(function):
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
