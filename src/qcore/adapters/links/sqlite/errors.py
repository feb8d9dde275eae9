"""SQLite's errors by result code, mapped to qcore's; here and nowhere else."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable, QcoreError

TRANSIENT: Final = {
    sqlite3.SQLITE_BUSY: "another connection, of whatever process, has an open transaction on it",
    sqlite3.SQLITE_LOCKED: "another connection has an open transaction on it",
    sqlite3.SQLITE_PROTOCOL: "too many processes opened it at once",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}

REFUSALS: Final = {
    sqlite3.SQLITE_TOOBIG: "a value is larger than SQLite's limit of a text or blob: store it "
    "elsewhere and send where it is",
    sqlite3.SQLITE_CONSTRAINT: "a value breaks a constraint of its table",
    sqlite3.SQLITE_MISMATCH: "a value is not of its column's type",
}
"""Errors about what a statement holds, which other statements do not meet."""

STALE: Final = (
    "the open transaction has read before another connection wrote, and so can no longer write: "
    "roll it back, and begin it with BEGIN IMMEDIATE"
)

PERMANENT: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or its quota reached: make room",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database: name another file, or move this away",
    sqlite3.SQLITE_CORRUPT: "the database is damaged: restore it, or try `sqlite3 FILE .recover`",
    sqlite3.SQLITE_READONLY: "it is read-only: make the file and its folder writable for this user",
    sqlite3.SQLITE_IOERR_SHORT_READ: "the file ends too early: was its log (-wal) removed? Those "
    "who have it open notice within a second; else stop them all",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write: look at the system's log",
    sqlite3.SQLITE_PERM: "this user may not open it: change its permissions",
}


MAX_FILE_NAME: Final = 255
"""Bytes, on the file systems of today."""


def mapped(error: sqlite3.Error, path: str) -> Exception:
    """Return the error to raise for one of SQLite's; one without a code is a bug, and unchanged."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return error
    # extended result codes: the low byte is the primary code (sqlite.org/rescode.html)
    kind = code & 0xFF
    if kind in TRANSIENT:
        why = STALE if code == sqlite3.SQLITE_BUSY_SNAPSHOT else TRANSIENT[kind]
        return BrokerUnavailable(f"{path}: {why} ({error})")
    if kind in REFUSALS:
        return BrokerRefused(f"{path}: {REFUSALS[kind]} ({error})")
    if kind == sqlite3.SQLITE_CANTOPEN:
        return _unusable(path, _why_not_open(path), error)
    if kind in PERMANENT:
        return _unusable(path, PERMANENT.get(code) or PERMANENT[kind], error)
    return _unusable(path, "it does not answer as a database of this version would", error)


def is_transient(error: sqlite3.Error) -> bool:
    """Return whether the same statement may succeed later."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in TRANSIENT


def is_undecodable(error: sqlite3.Error) -> bool:
    """Return whether text that was read is not UTF-8: an error of Python's, without a code."""
    return str(error).startswith("Could not decode to UTF-8")


def _unusable(path: str, why: str, error: sqlite3.Error) -> QcoreError:
    return BrokerUnusable(f"cannot use {path}: {why} ({error})")


def _why_not_open(path: str) -> str:
    """Return why the file cannot be opened, of which SQLITE_CANTOPEN says nothing."""
    folder = Path(path).parent
    # not Path.is_dir, which raises for a name that is too long
    if not os.path.isdir(folder):  # noqa: PTH112
        return f"there is no folder {folder}: create it"
    if os.path.isdir(path):  # noqa: PTH112
        return "it is a folder: name a file in it"
    if len(os.fsencode(Path(path).name)) > MAX_FILE_NAME:
        return f"the file's name is longer than {MAX_FILE_NAME} bytes"
    effective = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        return f"this user may not write to the folder {folder}: change its permissions"
    return "this user may not open it: change its permissions"
