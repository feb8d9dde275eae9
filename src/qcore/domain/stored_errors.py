"""Errors of attempts as stores encode them: what is not known of one takes no room."""

from typing import Any, Final

from qcore.domain.run_details import AttemptError
from qcore.domain.strict_forms import members_of, strict_form

_Form: Final[Any] = strict_form("error", members_of(AttemptError))
_NAMES: Final = tuple(name for name, _, _ in members_of(AttemptError))


def stored_form(value: object) -> object:
    """Return an error of an attempt in the form that is encoded; anything else as it is."""
    if not isinstance(value, AttemptError):
        return value
    return _Form(**{name: getattr(value, name) for name in _NAMES})
