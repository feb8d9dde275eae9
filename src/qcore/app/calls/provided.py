"""`Provided`, a mark for parameters of handlers that the worker fills in, and no caller passes."""

from inspect import Parameter
from typing import Annotated, Any, Final, get_args, get_origin

from qcore.domain.errors import InvalidOption


class ProvidedMark:
    """The class of `Provided`."""

    def __repr__(self) -> str:
        """Show it as it is written."""
        return "Provided"


Provided: Final[Any] = ProvidedMark()
"""Marks a parameter that gets what a lifespan or an around yields, found by its type.

`session: Annotated[Session, Provided] = Provided`. Nobody passes such an argument, and none is
stored. As the default it says so to a type checker, too, to which it is of any type.
"""


def is_marked(kind: Any) -> bool:
    """Return whether an annotation says that the parameter is provided."""
    return get_origin(kind) is Annotated and any(each is Provided for each in get_args(kind)[1:])


def provided_kind(task: str, parameter: Parameter, kind: Any) -> type | None:
    """Return the type that a parameter is provided by; None for an argument of the task.

    `kind` is its annotation, resolved. Raises `InvalidOption` where that is no class.
    """
    if not is_marked(kind) and parameter.default is not Provided:
        return None
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    found = get_origin(kind) or kind
    if not isinstance(found, type) or found in (Any, object):
        raise InvalidOption(
            f"the handler of {task!r} has the parameter {parameter}: expected the class of what is "
            "provided, as in session: Annotated[Session, Provided]"
        )
    return found
