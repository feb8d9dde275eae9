"""Encode details of tasks as Redis stores them, and decode them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

from attrs import evolve
from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from qcore.domain.audit import AuditRecord
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.stored_errors import stored_form

T = TypeVar("T")

MOST_ATTEMPTS: Final = 2**63 - 1
"""The largest integer of MessagePack here."""

_encode: Final = Encoder().encode
_fault: Final = Decoder(AttemptError)
_progress: Final = Decoder(Progress)
_audit: Final = Decoder(AuditRecord)


def encode(detail: AttemptError | Progress | AuditRecord) -> bytes:
    """Encode an error of a run, its progress, or a record of the audit trail."""
    try:
        return _encode(stored_form(detail))
    except (OverflowError, UnicodeEncodeError):
        # a lone surrogate, as in names of files, is replaced; or a number of attempts that only
        # somebody's edits explain is cut
        return _encode(stored_form(_encodable(detail)))


def encode_each(details: Iterable[AttemptError | AuditRecord]) -> bytes:
    """Encode a history of errors, or an audit trail: each behind its length and a blank."""
    pieces = [encode(each) for each in details]
    return b"".join(b"%d %b" % (len(each), each) for each in pieces)


def _encodable(
    detail: AttemptError | Progress | AuditRecord,
) -> AttemptError | Progress | AuditRecord:
    if isinstance(detail, AuditRecord):
        return evolve(
            detail,
            by=_text(detail.by),
            reason=None if detail.reason is None else _text(detail.reason),
            detail=_text(detail.detail),
        )
    if isinstance(detail, Progress):
        return evolve(detail, message=_text(detail.message))
    worker = None if detail.worker is None else _text(detail.worker)
    traceback = None if detail.traceback is None else _text(detail.traceback)
    attempt = max(0, min(detail.attempt, MOST_ATTEMPTS))
    return AttemptError(detail.at, attempt, _text(detail.error), worker, traceback, detail.version)


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def decode_details(
    errors: bytes | None, progress: bytes | None, saved: bytes | None, audit: bytes | None
) -> Details:
    """Decode details of a task; entries that cannot be read are left out."""
    return Details(
        _read_each(_fault, errors),
        None if progress is None else _read(_progress, progress),
        saved,
        _read_each(_audit, audit),
    )


def _read_each(decoder: Decoder[T], joined: bytes | None) -> tuple[T, ...]:
    if joined is None:
        return ()
    found = (_read(decoder, piece) for piece in _pieces(joined))
    return tuple(each for each in found if each is not None)


def _pieces(joined: bytes) -> Iterator[bytes]:
    """Yield entries, each behind its length and a blank."""
    start = 0
    with suppress(ValueError):
        while start < len(joined):
            blank = joined.index(b" ", start)
            end = blank + 1 + int(joined[start:blank])
            yield joined[blank + 1 : end]
            start = end


def _read(decoder: Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (MsgspecError, RecursionError, ValueError):
        return None
