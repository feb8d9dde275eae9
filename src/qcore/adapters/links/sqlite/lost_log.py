"""Leaving a log that was removed or replaced while this process has it open.

Theory of operation. Somebody has "cleaned up" `-wal` or `-shm`. Who has them open goes on with
files that have no name any more, and whoever opens the database next makes new ones; neither sees
what the other writes. So as soon as it is noticed (`ManagedConnection.leave_moved_files`),

1. all connections of this process to the database are taken out of use together. SQLite keeps one
   index for all connections of a process, so that a new one beside an old one would use the old
   index for the new log;
2. if nobody has made a new log meanwhile, the lost one is folded into the database by a checkpoint,
   and nothing is lost. Else the database as it is seen here is copied to a file beside it: a
   checkpoint would overwrite pages of which the new log has other versions;
3. the connections are closed, without the checkpoint and the removal of the log with which SQLite
   closes the last one: by its name, it would remove the new log;
4. the tasks that only the copy has are merged into the database, and the copy is removed.
"""

import os
import sqlite3
import struct
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Final, Protocol

from qcore.adapters.links.sqlite import fork_safety
from qcore.adapters.links.sqlite.file_identity import Inode, OpenFiles, files_at, index_of, inode_of
from qcore.adapters.links.sqlite.interfaces import Merge
from qcore.adapters.links.sqlite.transaction import Transaction
from qcore.domain.errors import BrokerUnusable
from qcore.log.logger import get_logger

FOLD_TIMEOUT: Final = 1.0
"""Seconds to wait for the checkpoint of another process."""
FOLD_POLL: Final = 0.01
MERGE_TIMEOUT: Final = 5.0
"""Seconds to wait for the lock of the database that tasks are merged into."""
NO_CHECKPOINT_ON_CLOSE: Final = 1006
"""`SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE`, which the module sqlite3 names since Python 3.12."""
SHARED_LOCK: Final = 0x40000002, 510
"""First byte and number of the bytes that SQLite locks to read (sqlite.org/src, os.h)."""
_locked: Final[dict[Inode | None, int]] = {}
"""Open descriptors of files whose log was lost. To close one would release SQLite's own locks on
the file, which belong to the process."""


class Connection(fork_safety.ForkSensitive, Protocol):
    """A `ManagedConnection`, as far as it is needed here."""

    path: str
    connection: sqlite3.Connection | None
    files: OpenFiles | None
    merge: Merge | None

    def has_lost_log(self) -> bool:
        """Return whether its log or index was removed or replaced."""
        ...

    def connect(self) -> sqlite3.Connection:
        """Return the connection, opened and prepared if there is none."""
        ...


def leave_lost_log(connections: Sequence[Connection]) -> None:
    """Close connections to one database, and keep what was written to the log that they lost."""
    with fork_safety.hold(connections):
        losers = [each for each in connections if each.has_lost_log()]
        if not losers:
            # another thread has noticed it first
            return
        path, files, connection = losers[0].path, losers[0].files, losers[0].connection
        get_logger().warning("the log of the database was removed or replaced", path=path)
        copy: Path | None = None
        if connection is not None and files is not None:
            copy = _kept(connection, path, files)
        for each in connections:
            each.disconnect()
        if files is not None:
            _remove_index(path, files)
        if copy is not None:
            _merge(copy, connections)


def fold(connection: sqlite3.Connection) -> bool:
    """Copy what is in the log into the database; return whether all of it is there now.

    Readers are not waited for: they may still need older pages of the database.
    """
    deadline = monotonic() + FOLD_TIMEOUT
    while True:
        busy, pages, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not busy or monotonic() >= deadline:
            return bool(pages == folded)
        sleep(FOLD_POLL)


def _kept(connection: sqlite3.Connection, path: str, lost: OpenFiles) -> Path | None:
    """Fold the lost log into the database; return a copy of what is seen here if that cannot be."""
    found = files_at(path)
    is_made_anew = found.log not in {None, lost.log} or found.log_index not in {
        None,
        lost.log_index,
    }
    with suppress(sqlite3.Error):
        if not is_made_anew and fold(connection):
            return None
    # a log that has kept its name has all that was written to it
    return None if found.log == lost.log else _copied(connection, path)


def _copied(connection: sqlite3.Connection, path: str) -> Path | None:
    copy = Path(f"{path}-lost-{time_ns()}")
    try:
        with closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
            # else it would be opened with a log of its own
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        reason = str(error)
    else:
        return copy
    get_logger().error("what the lost log holds cannot be read", path=path, error=reason)
    return None


def _remove_index(path: str, lost: OpenFiles) -> None:
    """Remove the index of a lost log: a new log must not be read by it."""
    found = files_at(path)
    if found.log_index is not None and found.log_index == lost.log_index and found.log != lost.log:
        Path(index_of(os.path.realpath(path))).unlink(missing_ok=True)


def _merge(copy: Path, connections: Sequence[Connection]) -> None:
    """Merge a copy of what was seen with a lost log into the database, and remove it."""
    reason = "no broker uses the database any more"
    try:
        for each in connections:
            if each.merge is not None:
                merged = _merged(each.connect(), each.merge, copy)
                copy.unlink()
                get_logger().warning(
                    "tasks of the lost log were merged", path=each.path, tasks=merged
                )
                return
    except (sqlite3.Error, BrokerUnusable, OSError) as error:
        reason = str(error)
    get_logger().error("tasks of the lost log are left in a copy", copy=str(copy), error=reason)


def _merged(connection: sqlite3.Connection, merge: Merge, copy: Path) -> int:
    tx = Transaction(connection, MERGE_TIMEOUT)
    tx.execute("ATTACH ? AS lost", (str(copy),))
    try:
        tx.execute("BEGIN IMMEDIATE")
        merged = merge(tx)
        tx.execute("COMMIT")
        return merged
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DETACH lost")


def close_without_checkpoint(connection: sqlite3.Connection, path: str) -> None:
    """Close what may be the last connection, and leave the log, by whatever name, as it is."""
    set_config = getattr(connection, "setconfig", None)
    if set_config is not None:  # since Python 3.12
        set_config(NO_CHECKPOINT_ON_CLOSE, True)  # noqa: FBT003  (as it is declared)
        connection.close()
        return
    with _read_lock(path):
        connection.close()


@contextmanager
def _read_lock(path: str) -> Generator[None]:
    """Be a reader of the file, so that SQLite takes no connection of this process for the last one.

    By a lock of an open file description (fcntl(2)), which unlike those of SQLite does not belong
    to the process.
    """
    try:
        import fcntl  # not on Windows, where an open file cannot be removed

        set_lock = fcntl.F_OFD_SETLK
    except (ImportError, AttributeError):
        yield
        return
    file = inode_of(path)
    with suppress(OSError):
        if file not in _locked:
            _locked[file] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.fcntl(_locked[file], set_lock, _flock(fcntl.F_RDLCK))
    try:
        yield
    finally:
        with suppress(OSError, KeyError):
            fcntl.fcntl(_locked[file], set_lock, _flock(fcntl.F_UNLCK))


def _flock(kind: int) -> bytes:
    """Return a `struct flock` of 64-bit Linux: type, whence, start, length, process."""
    return struct.pack("hhqqi4x", kind, 0, *SHARED_LOCK, 0)
