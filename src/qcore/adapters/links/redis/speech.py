"""How connections of our own read, and what they say first."""

from collections.abc import Sequence
from typing import Any, Final

from hiredis import Reader
from redis.asyncio.connection import DefaultParser
from redis.driver_info import DriverInfo
from redis.exceptions import InvalidResponse

from qcore.adapters.links.redis.words import Command

PIECE: Final = 1 << 16
"""Bytes that are read at once."""
NOTHING: Final = object()
"""Stands for a reply of which there is more to come."""

_parser: Any = DefaultParser
"""redis-py does not say of what type its methods are."""


def new_reader() -> Any:
    """Return a reader that makes errors of redis-py's classes."""
    return Reader(
        protocolError=InvalidResponse, replyError=_parser.parse_error, notEnoughData=NOTHING
    )


def greeting(
    username: str | None, password: str | None, db: int, name: str | None
) -> Sequence[Command]:
    """Return what has to be said first: without an answer, nothing else may be asked."""
    commands: list[Command] = []
    if password is not None:
        commands.append(("AUTH", *([username] if username else []), password))
    if db:
        commands.append(("SELECT", db))
    if name:
        commands.append(("CLIENT", "SETNAME", name))
    return commands


def courtesies(info: DriverInfo | None) -> Sequence[Command]:
    """Return what may be said then, of who we are."""
    if info is None:
        return ()
    said = {"LIB-NAME": info.formatted_name, "LIB-VER": info.lib_version}
    return [("CLIENT", "SETINFO", what, str(value)) for what, value in said.items() if value]
