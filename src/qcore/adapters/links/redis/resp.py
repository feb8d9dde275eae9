"""RESP2, the protocol of Redis: commands as bytes, and a reader of replies (both by hiredis)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import hiredis
from redis.connection import DefaultParser
from redis.exceptions import AuthenticationError, InvalidResponse, ResponseError

Arg: TypeAlias = str | bytes | int
"""One argument of a command: the protocol sends each as a bulk string."""
RedisCommand: TypeAlias = tuple[Arg, ...]
Reply: TypeAlias = Any
"""As RESP2 has it: bytes, int, None, or a list of replies."""

INCOMPLETE: Final = object()
"""What a reader returns while a reply has not arrived in full."""
BATCH_BYTES: Final = 1 << 14
"""From this size a buffer is worth a system call of its own."""

# hiredis' stub takes tuples of one argument only; redis-py's parser is not annotated
_hiredis: Any = hiredis
_parser: Any = DefaultParser
encode_command: Final[Callable[[RedisCommand], bytes]] = _hiredis.pack_command
"""Return a command as bytes to send."""


def encoded(command: RedisCommand | bytes) -> bytes:
    """Return a command as bytes to send, if it is not that already."""
    return command if isinstance(command, bytes) else encode_command(command)


def encode(commands: Iterable[RedisCommand]) -> list[bytes]:
    """Return commands as bytes to send, a buffer each."""
    return [encode_command(command) for command in commands]


def encode_batched(commands: Iterable[RedisCommand | bytes]) -> Iterator[bytes]:
    """Yield commands as bytes to send, small ones joined: each buffer costs a system call.

    A command is taken from the iterable only after all buffers before it were taken, so Redis can
    work on the first ones while the caller still makes the others.
    """
    joined: list[bytes] = []
    size = 0
    for command in commands:
        joined.append(encoded(command))
        size += len(joined[-1])
        if size >= BATCH_BYTES:
            yield b"".join(joined)
            joined, size = [], 0
    yield b"".join(joined)


def command_format(words: Iterable[Arg | None]) -> bytes:
    """Return a command as a format of its words that are None, each given as its size and bytes.

    To fill in three words takes a quarter of the time of encoding the fifteen of a lone enqueue.
    """
    formats = [_format(word) for word in words]
    return b"*%d\r\n%b" % (len(formats), b"".join(formats))


def _format(word: Arg | None) -> bytes:
    if word is None:
        return b"$%d\r\n%b\r\n"
    return encode_command((word,)).removeprefix(b"*1\r\n").replace(b"%", b"%%")


def new_reader() -> Any:
    """Return a hiredis reader; error replies become exceptions of redis-py's classes."""
    return hiredis.Reader(
        protocolError=InvalidResponse, replyError=_parser.parse_error, notEnoughData=INCOMPLETE
    )


def is_error_reply(error: BaseException) -> bool:
    """Return whether an exception stands for an error reply, which only a server sends.

    Not all such classes of redis-py are `ResponseError`s: of those that are `ConnectionError`s, as
    `BusyLoadingError` is, the error code tells.
    """
    return (
        isinstance(error, ResponseError | AuthenticationError)
        or getattr(error, "status_code", None) is not None
    )
