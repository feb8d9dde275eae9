"""Details of a task as a database stores them: JSON for its errors, progress and audit trail."""

from typing import Final, TypedDict, TypeVar, cast

import msgspec

from qcore.domain.audit import AuditRecord
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.stored_errors import stored_form

_ERRORS: Final = msgspec.json.Decoder(tuple[AttemptError, ...])
_PROGRESS: Final = msgspec.json.Decoder(Progress)
_AUDIT: Final = msgspec.json.Decoder(tuple[AuditRecord, ...])

T = TypeVar("T")


class DetailsColumns(TypedDict):
    """The values of columns; None for what there is none of."""

    errors: str | None
    progress: str | None
    saved: bytes | None
    audit: str | None


def errors_in(text: str | bytes | None) -> tuple[AttemptError, ...]:
    """Return the errors that are stored; none where that was edited into something else."""
    return _decoded(_ERRORS, text) or ()


def progress_in(text: str | bytes | None) -> Progress | None:
    """Return the progress that is stored; None where that was edited into something else."""
    return _decoded(_PROGRESS, text)


def audit_in(text: str | bytes | None) -> tuple[AuditRecord, ...]:
    """Return the audit trail that is stored; none where that was edited into something else."""
    return _decoded(_AUDIT, text) or ()


def encoded(value: object) -> str:
    """Return errors, a progress or an audit trail as JSON."""
    if isinstance(value, tuple):
        value = [*map(stored_form, cast("tuple[object, ...]", value))]
    return msgspec.json.encode(value).decode()


def columns_of(details: Details) -> DetailsColumns:
    """Return details as the values of columns."""
    return {
        "errors": encoded(details.errors) if details.errors else None,
        "progress": None if details.progress is None else encoded(details.progress),
        "saved": details.saved,
        "audit": encoded(details.audit) if details.audit else None,
    }


def _decoded(decoder: msgspec.json.Decoder[T], text: str | bytes | None) -> T | None:
    if text is None:
        return None
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, TypeError):
        # no text at all, where a database stores any type in any column
        return None
