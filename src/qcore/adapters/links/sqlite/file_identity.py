"""Which files a connection has open, to notice that one was removed or replaced.

A database in WAL mode is three files: the database, its write-ahead log (`-wal`), and the index of
the log in shared memory (`-shm`). All connections to it must have the same three open
(sqlite.org/wal.html, sqlite.org/howtocorrupt.html).
"""

import os
from typing import Final, NamedTuple, TypeAlias

from qcore.log.logger import get_logger

Inode: TypeAlias = tuple[int, int]
"""Device and inode: no other file is given the same while a connection has this one open."""

_warned: Final[dict[str, Inode]] = {}
"""The last replaced file of each path: the first of its connections to notice logs a warning."""


class OpenFiles(NamedTuple):
    """The files of a database, None for one that is not there, and its real path."""

    real: str
    database: Inode | None
    log: Inode | None
    log_index: Inode | None

    def has_lost_log(self) -> bool:
        """Return whether the log or its index, once open, is no longer what is found by name.

        Nobody removes them rightly while a connection is open: who closes the last one does.
        """
        return any(
            mine is not None and inode_of(name) != mine
            for mine, name in ((self.log, log_of(self.real)), (self.log_index, index_of(self.real)))
        )


def inode_of(path: str) -> Inode | None:
    """Return the identity of the file at `path`; None if there is none, or `stat` fails."""
    try:
        found = os.stat(path)  # noqa: PTH116  (half the time of Path.stat, before each transaction)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def files_at(path: str) -> OpenFiles:
    """Return the files of the database at `path`; SQLite names log and index by its real path."""
    real = os.path.realpath(path)
    return OpenFiles(real, inode_of(path), inode_of(log_of(real)), inode_of(index_of(real)))


def is_same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to one file, which need not be there yet."""
    mine = inode_of(one)
    return os.path.realpath(one) == os.path.realpath(other) or (
        mine is not None and mine == inode_of(other)
    )


def log_of(path: str) -> str:
    """Return the path of the write-ahead log of a database."""
    return f"{path}-wal"


def index_of(path: str) -> str:
    """Return the path of the index of a database's log."""
    return f"{path}-shm"


def warn_replaced(path: str, before: Inode) -> None:
    """Log, once, that the path belongs to another file now, or to none."""
    if _warned.get(path) != before:
        _warned[path] = before
        get_logger().warning("the database file was replaced", path=path)
