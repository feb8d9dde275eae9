"""The device and inode of the database file, to notice that it was deleted or replaced."""

import os
from typing import Final, TypeAlias

import structlog

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode: no other file is given the same while a connection has this one open."""

_warned: Final[dict[str, FileIdentity]] = {}
"""The last replaced file of each path: the first of its connections to notice logs a warning."""


def identity_of(path: str) -> FileIdentity | None:
    """Return the identity of the file at `path`; None if there is none, or `stat` fails."""
    try:
        found = os.stat(path)  # noqa: PTH116  (half the time of Path.stat, before each transaction)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def warn_replaced(path: str, before: FileIdentity) -> None:
    """Log, once, that the path belongs to another file now, or to none."""
    if _warned.get(path) != before:
        _warned[path] = before
        structlog.get_logger("qcore").warning("the database file was replaced", path=path)
