"""What is kept of tasks' runs, to what is stored of it and back."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, TypeVar

from attrs import evolve
from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from qcore.domain.run_details import AttemptError, Details, Progress

T = TypeVar("T")

MOST_ATTEMPTS: Final = 2**63 - 1
"""As many as can be written."""

_encode: Final = Encoder().encode
_fault: Final = Decoder(AttemptError)
_progress: Final = Decoder(Progress)


def encode(noted: AttemptError | Progress) -> bytes:
    """Return an error, or how far a run has come, as it is stored."""
    try:
        return _encode(noted)
    except (OverflowError, UnicodeEncodeError):
        # half a pair of surrogates, as in names of files: the rest of the text is worth having; or
        # more attempts than there can be, of a task that was tampered with
        return _encode(_sound(noted))


def _sound(noted: AttemptError | Progress) -> AttemptError | Progress:
    if isinstance(noted, Progress):
        return evolve(noted, message=_text(noted.message))
    worker = None if noted.worker is None else _text(noted.worker)
    traceback = None if noted.traceback is None else _text(noted.traceback)
    attempt = max(0, min(noted.attempt, MOST_ATTEMPTS))
    return AttemptError(noted.at, attempt, _text(noted.error), worker, traceback)


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def decode_details(errors: bytes | None, progress: bytes | None, saved: bytes | None) -> Details:
    """Return what is stored, without what somebody has written over."""
    return Details(
        tuple(fault for fault in map(_read_fault, _pieces(errors or b"")) if fault is not None),
        None if progress is None else _read(_progress, progress),
        saved,
    )


def _pieces(joined: bytes) -> Iterator[bytes]:
    """Yield pieces, each behind its length and a blank."""
    start = 0
    with suppress(ValueError):
        while start < len(joined):
            blank = joined.index(b" ", start)
            end = blank + 1 + int(joined[start:blank])
            yield joined[blank + 1 : end]
            start = end


def _read_fault(piece: bytes) -> AttemptError | None:
    return _read(_fault, piece)


def _read(decoder: Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (MsgspecError, RecursionError, ValueError):
        return None
