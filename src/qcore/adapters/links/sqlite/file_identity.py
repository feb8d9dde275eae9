"""Which file it is that has a name, and what is said when it is another one."""

import os
from typing import Final, TypeAlias

import structlog

Identity: TypeAlias = tuple[int, int]
"""Device and inode. While a connection has the file open, no other file is given the same."""

_lost: Final[dict[str, Identity]] = {}
"""The last file that was lost, by name: of its several connections one warns."""


def identity_of(path: str) -> Identity | None:
    """Return which file has this name; None if there is none, or it cannot be told."""
    try:
        found = os.stat(path)  # noqa: PTH116  (twice as fast, and asked before each transaction)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def warn_of_loss(path: str, before: Identity) -> None:
    """Log, once, that the name belongs to another file now, or to none."""
    if _lost.get(path) != before:
        _lost[path] = before
        structlog.get_logger("qcore").warning("the database file was replaced", path=path)
