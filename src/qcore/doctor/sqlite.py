"""An examination of an SQLite file: what is so, and what to do about it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qcore.adapters.links.sqlite import Link, Tx
from qcore.adapters.sqlite.queue_rows import counted
from qcore.domain.diagnostics import Finding, advice, error, ok, warning
from qcore.domain.lifecycle import State

GIGABYTE: Final = 1 << 30
LARGE: Final = GIGABYTE
"""Bytes of a file of which to check every page takes too long."""
LOW: Final = GIGABYTE
"""Bytes left on a disk that are worth a warning."""
NONE: Final = 50 << 20
"""Bytes left on a disk with which nobody can go on."""
SPARSE: Final = 0.5
"""Of a file's pages, unused."""
WASTED: Final = 100 << 20
"""Bytes from which on unused pages are worth a word."""
LEVELS: Final = ("off", "normal", "full", "extra")
"""As SQLite numbers them (sqlite.org/pragma.html#pragma_synchronous)."""


async def diagnose(link: Link) -> list[Finding]:
    """Return what is so; raise as `link.open` does where the database cannot be used.

    A file that is not there is not made.
    """
    if not link.lasting:
        return [
            warning(
                "persistence",
                "a database in memory: nothing outlives the process",
                "name a file, such as sqlite:///qcore.db",
            )
        ]
    file = Path(link.path)
    found = [*_room(file)]
    if not _is_made(file):
        return [*_missing(file), *found]
    await link.open()
    return [*_sizes(file), *found, *await link.read(_inside)]


def _is_made(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _missing(file: Path) -> Iterator[Finding]:
    """Tell whether a file that is not there yet can be made."""
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


def _sizes(file: Path) -> Iterator[Finding]:
    """Tell how large the file and its log are."""
    log = file.with_name(f"{file.name}-wal")
    pending = log.stat().st_size if log.exists() else 0
    yield ok("file", f"{file}, {spelled(file.stat().st_size)} and a log of {spelled(pending)}")
    if pending > LARGE:
        yield warning(
            "file",
            f"its log has grown to {spelled(pending)}: somebody has been reading all the time",
            "look for a transaction that was left open, in a shell or another process",
        )
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        yield error(
            "file",
            "this user may not write to it, or to its folder",
            "change its permissions, and those of its folder: the log is beside it",
        )


def _room(file: Path) -> Iterator[Finding]:
    """Tell how much room there is on the disk."""
    folder = next((each for each in file.parents if each.is_dir()), Path("/"))
    left = shutil.disk_usage(folder).free
    grade = error if left < NONE else warning if left < LOW else ok
    yield grade(
        "disk",
        f"{spelled(left)} free",
        "" if grade is ok else "make room: a full disk takes no tasks, and settles none",
    )


def _inside(tx: Tx) -> list[Finding]:
    """Tell what the database says of itself."""
    return [*_version(tx), *_journal(tx), *_durability(tx), *_pages(tx), *_health(tx), *_queues(tx)]


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


def _durability(tx: Tx) -> Iterator[Finding]:
    number: int = tx.execute("PRAGMA synchronous")[0][0]
    level = LEVELS[number]
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
    if unused * size > WASTED and unused > SPARSE * pages:
        yield advice(
            "file",
            f"{spelled(unused * size)} of {spelled(pages * size)} are unused",
            "stop the workers, and VACUUM",
        )


def _health(tx: Tx) -> Iterator[Finding]:
    size = tx.execute("PRAGMA page_count")[0][0] * tx.execute("PRAGMA page_size")[0][0]
    if size > LARGE:
        yield advice(
            "integrity",
            f"not checked: that takes long in a file of {spelled(size)}",
            "at a quiet hour: `PRAGMA quick_check`",
        )
        return
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
    queues = counted(tx)
    pending = sum(states.get(State.PENDING, 0) for states in queues.values())
    yield ok("queues", f"{len(queues):,} with tasks, {pending:,} of them pending")


def spelled(size: float) -> str:
    """Return bytes as a person reads them."""
    for unit in ("B", "kB", "MB"):
        if size < 1024:  # noqa: PLR2004  (of the one unit in the next)
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GB"
