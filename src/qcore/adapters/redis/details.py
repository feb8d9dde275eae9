"""What is kept of tasks' runs, to what is stored of it and back."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, TypeVar

from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from qcore.domain.notes import Details, Fault, Progress

T = TypeVar("T")

_encode: Final = Encoder().encode
_fault: Final = Decoder(Fault)
_progress: Final = Decoder(Progress)


def written(noted: Fault | Progress) -> bytes:
    """Return an error, or how far a run has come, as it is stored."""
    return _encode(noted)


def details_of(errors: bytes | None, progress: bytes | None, saved: bytes | None) -> Details:
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


def _read_fault(piece: bytes) -> Fault | None:
    return _read(_fault, piece)


def _read(decoder: Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (MsgspecError, RecursionError, ValueError):
        return None
