"""Encode run details as Redis stores them, and decode them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeVar

from attrs import evolve
from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from qcore.domain.run_details import AttemptError, Details, Progress

T = TypeVar("T")

MOST_ATTEMPTS: Final = 2**63 - 1
"""The largest integer of MessagePack here."""

_encode: Final = Encoder().encode
_fault: Final = Decoder(AttemptError)
_progress: Final = Decoder(Progress)


def encode(detail: AttemptError | Progress) -> bytes:
    """Encode an error of a run, or its progress."""
    try:
        return _encode(detail)
    except (OverflowError, UnicodeEncodeError):
        # a lone surrogate, as in names of files, is replaced; or a number of attempts that only
        # somebody's edits explain is cut
        return _encode(_encodable(detail))


def encode_errors(errors: Iterable[AttemptError]) -> bytes:
    """Encode the history of a task's errors: each behind its length and a blank."""
    pieces = [encode(each) for each in errors]
    return b"".join(b"%d %b" % (len(each), each) for each in pieces)


def _encodable(detail: AttemptError | Progress) -> AttemptError | Progress:
    if isinstance(detail, Progress):
        return evolve(detail, message=_text(detail.message))
    worker = None if detail.worker is None else _text(detail.worker)
    traceback = None if detail.traceback is None else _text(detail.traceback)
    attempt = max(0, min(detail.attempt, MOST_ATTEMPTS))
    return AttemptError(detail.at, attempt, _text(detail.error), worker, traceback)


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def decode_details(errors: bytes | None, progress: bytes | None, saved: bytes | None) -> Details:
    """Decode run details; entries that cannot be read are left out."""
    return Details(
        tuple(fault for fault in map(_read_fault, _pieces(errors or b"")) if fault is not None),
        None if progress is None else _read(_progress, progress),
        saved,
    )


def _pieces(joined: bytes) -> Iterator[bytes]:
    """Yield entries, each behind its length and a blank."""
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
