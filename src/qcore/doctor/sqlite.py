"""`diagnose` for SQLite: findings about the file and its disk, each with what to do about it."""

import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from qcore.adapters.links.sqlite import Link, Tx, log_of, other_name, table_names, why_not_told
from qcore.adapters.sqlite.queue_rows import count_tasks
from qcore.doctor.sqlite_entries import entries
from qcore.doctor.sqlite_leftovers import leftovers
from qcore.domain.diagnostics import Finding, advice, error, ok, warning
from qcore.domain.states import State

META: Final = "qcore_meta"
GIGABYTE: Final = 1 << 30
MAX_CHECKED: Final = GIGABYTE
"""Bytes of a file up to which it is read as a whole, for damage and for what was edited."""
MAX_CHECKED_BRIEFLY: Final = 32 << 20
"""The same of an examination that is not thorough, as a page waits for it: 0.1 s."""
HELD_FOR: Final = 1.0
"""Seconds in which no checkpoint gets further, so that it must be one reader that was left open."""
LOW_DISK: Final = GIGABYTE
"""Free bytes on the disk below which there is a warning."""
FULL_DISK: Final = 50 << 20
"""Free bytes on the disk below which there is an error."""
UNUSED_SHARE: Final = 0.5
UNUSED_BYTES: Final = 100 << 20
"""Beyond both this share and this size of unused pages, `VACUUM` is advised."""
SYNCHRONOUS_LEVELS: Final = ("off", "normal", "full", "extra")
"""As SQLite numbers them (sqlite.org/pragma.html#pragma_synchronous)."""


async def diagnose(link: Link, *, thorough: bool = True) -> list[Finding]:
    """Return findings; raise as `link.open` does where the database cannot be used.

    A file that does not exist is not created, and neither are tables in an application's file.
    """
    if not link.is_persistent:
        return [
            warning(
                "persistence",
                "a database in memory: nothing outlives the process",
                "name a file, such as sqlite:///qcore.db",
            )
        ]
    file = Path(link.path)
    found = [*_disk_space(file)]
    if not _exists(file):
        return [*_missing(file), *found]
    other = other_name(link.path)
    if other is not None:
        return [error("file", f"{file}: {other.problem}", other.remedy), *found]
    tables = table_names(link.path)
    if tables and META not in tables:
        return [*_without_tables(file, tables), *found]
    await link.open()
    examined = await link.read(partial(_database, thorough=thorough))
    return [*_file_sizes(file), *found, *examined, *_wake_ups(link.path)]


def _exists(file: Path) -> bool:
    # not by `exists`: since Python 3.14 a path that no file can have is one that does not exist
    try:
        return file.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def _missing(file: Path) -> Iterator[Finding]:
    """Find whether a file that does not exist can be created."""
    if not file.parent.is_dir():
        yield error("file", f"there is no folder {file.parent}", "make it, or correct the URL")
    elif not os.access(file.parent, os.W_OK):
        yield error(
            "file",
            f"this user may not write to the folder {file.parent}",
            "change its permissions, or name another",
        )
    else:
        yield advice(
            "file",
            f"{file} is not there, or empty: it is made when it is first used",
            "if there should be tasks, look whether the URL and the working folder are right",
        )


def _without_tables(file: Path, tables: Sequence[str]) -> Iterator[Finding]:
    """Find that a file has another application's tables alone."""
    yield advice(
        "file",
        f"{file} has an application's tables ({', '.join(tables[:3])}), and none of qcore's: they "
        "are made when it is first used",
        "if there should be tasks, look whether the URL and the working folder are right",
    )


def _file_sizes(file: Path) -> Iterator[Finding]:
    """Find how large the file and its write-ahead log are, and whether they can be written."""
    log = Path(log_of(str(file.resolve())))
    log_size = log.stat().st_size if log.exists() else 0
    yield ok("file", f"{file}, {spelled(file.stat().st_size)} and a log of {spelled(log_size)}")
    for copy in sorted(file.parent.glob(f"{glob.escape(file.name)}-lost-*")):
        yield warning(
            "file",
            f"{copy} has what was in a log that somebody removed, and could not be merged",
            "look with qcore at what is in it, enqueue what is missing here, and delete it",
        )
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        yield error(
            "file",
            "this user may not write to it, or to its folder",
            "change its permissions, and those of its folder: the log is beside it",
        )


def _disk_space(file: Path) -> Iterator[Finding]:
    """Find how much room is left on the disk."""
    folder = next((each for each in file.parents if each.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    grade = error if free < FULL_DISK else warning if free < LOW_DISK else ok
    yield grade(
        "disk",
        f"{spelled(free)} free",
        "" if grade is ok else "make room: a full disk takes no tasks, and settles none",
    )


def _database(tx: Tx, *, thorough: bool) -> list[Finding]:
    """Query the database for what only it knows."""
    checks = (_version, _journal, _log, _durability, _pages)
    found = [finding for check in checks for finding in check(tx)]
    pages, page = (int(tx.execute(f"PRAGMA {name}")[0][0]) for name in ("page_count", "page_size"))
    if pages * page > (MAX_CHECKED if thorough else MAX_CHECKED_BRIEFLY):
        return [*found, _unread(pages * page), *_queues(tx)]
    return [*found, *_health(tx), *_queues(tx), *leftovers(tx), *entries(tx)]


def _version(tx: Tx) -> Iterator[Finding]:
    yield ok("version", f"SQLite {tx.execute('VALUES (sqlite_version())')[0][0]}")


def _journal(tx: Tx) -> Iterator[Finding]:
    mode = str(tx.execute("PRAGMA journal_mode")[0][0])
    if mode == "wal":
        yield ok("journal", "write-ahead log: who reads waits for nobody")
    else:
        yield warning(
            "journal",
            f"journal_mode is {mode}: those who read and those who write wait for each other",
            "stop the workers, and `PRAGMA journal_mode = WAL`",
        )


def _log(tx: Tx) -> Iterator[Finding]:
    """Find whether a reader that was left open keeps the log from being folded into the file."""
    _, pages, folded = first = _checkpoint(tx)
    began = monotonic()
    while folded < pages and folded == first[2] and monotonic() < began + HELD_FOR:
        sleep(HELD_FOR / 10)
        _, pages, folded = _checkpoint(tx)
    if folded < pages and folded == first[2]:
        (page_size,) = tx.execute("PRAGMA page_size")[0]
        held = spelled((pages - folded) * page_size)
        yield warning(
            "journal",
            f"somebody has been reading for a while: {held} of the log cannot be folded into the "
            "file meanwhile, and it grows with every change",
            "look for a transaction that was left open, in a shell, a backup or another process",
        )


def _checkpoint(tx: Tx) -> tuple[int, int, int]:
    """Fold what can be folded now; return whether that is busy, and the pages of the log."""
    busy, pages, folded = tx.execute("PRAGMA wal_checkpoint(PASSIVE)")[0]
    return busy, pages, folded


def _durability(tx: Tx) -> Iterator[Finding]:
    number: int = tx.execute("PRAGMA synchronous")[0][0]
    level = SYNCHRONOUS_LEVELS[number]
    if level in {"full", "extra"}:
        yield ok("persistence", f"synchronous={level}: what was acknowledged is on the disk")
    else:
        yield advice(
            "persistence",
            f"synchronous={level}: a power cut may take what was acknowledged last",
            "leave out synchronous=normal where no task may be lost",
        )


def _pages(tx: Tx) -> Iterator[Finding]:
    (pages,), (unused,), (size,) = (
        tx.execute(f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count", "page_size")
    )
    if unused * size > UNUSED_BYTES and unused > UNUSED_SHARE * pages:
        yield advice(
            "file",
            f"{spelled(unused * size)} of {spelled(pages * size)} are unused",
            "stop the workers, and VACUUM",
        )


def _unread(size: int) -> Finding:
    """Say that a file was not read as a whole."""
    return advice(
        "integrity",
        f"not checked, and the tasks not counted: that takes long in a file of {spelled(size)}",
        "at a quiet hour: `PRAGMA quick_check`" if size > MAX_CHECKED else "`qcore doctor` does",
    )


def _health(tx: Tx) -> Iterator[Finding]:
    rows = [str(row[0]) for row in tx.execute("PRAGMA quick_check(3)")]
    if rows == ["ok"]:
        yield ok("integrity", "quick_check finds nothing wrong")
    else:
        yield error(
            "integrity",
            f"the file is damaged: {'; '.join(rows)}",
            "stop the workers, restore a copy, or try `sqlite3 FILE .recover`",
        )


def _queues(tx: Tx) -> Iterator[Finding]:
    queues = count_tasks(tx)
    pending = sum(states.get(State.PENDING, 0) for states in queues.values())
    yield ok("queues", f"{len(queues):,} with tasks, {pending:,} of them pending")


def _wake_ups(path: str) -> Iterator[Finding]:
    """Find whether a process that waits is told of what others commit."""
    why = why_not_told(path)
    if why is None:
        yield ok("wake-ups", "a worker that waits is told of what other processes commit")
    else:
        yield advice(
            "wake-ups",
            f"a worker that waits cannot be told of what other processes commit ({why}): it looks "
            "every 20 ms, also while nothing happens",
            "on Linux, see that the folder is on a local disk and lets this user make files",
        )


def spelled(size: float) -> str:
    """Return a number of bytes with a unit: 12 kB, 3.4 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1024:  # noqa: PLR2004  (of the one unit in the next)
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GB"
