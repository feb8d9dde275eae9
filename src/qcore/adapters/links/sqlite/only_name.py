"""Whether the database file has another name, by which others would open it with another log.

SQLite finds the log by the database's name. Those who open one file by two names, of a hard link
or of a bind mount of the file alone, have two logs: neither sees what the other writes, and the
file is damaged (sqlite.org/howtocorrupt.html, 2.5).
"""

import os
import re
from pathlib import Path
from stat import S_ISREG
from typing import Final, NamedTuple

MOUNTS: Final = Path("/proc/self/mountinfo")
MOUNT_POINT: Final = 4
"""Index of the field of a line that says where something is mounted (proc_pid_mountinfo(5))."""
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class OtherName(NamedTuple):
    """How the file has come to have another name, and what to do."""

    problem: str
    remedy: str


def other_name(path: str) -> OtherName | None:
    """Return how the file at `path` may be open by another name; None if it has but one."""
    real = os.path.realpath(path)
    try:
        found = Path(real).stat()
    except OSError:
        return None
    if S_ISREG(found.st_mode) and found.st_nlink > 1:
        return OtherName(
            f"the file has {found.st_nlink} names (hard links), and by each it would have another "
            "log, which the others do not see",
            "remove all names but one, or make a symbolic link",
        )
    if real in _mount_points():
        return OtherName(
            "the file is mounted by itself, without its log, which lies beside it: what is written "
            "here is not seen where the file comes from",
            "mount the folder that the file is in",
        )
    return None


def _mount_points() -> set[str]:
    """Return where something is mounted; nothing but on Linux."""
    try:
        text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return set()
    fields = (line.split(" ") for line in text.splitlines())
    return {_unescaped(each[MOUNT_POINT]) for each in fields if len(each) > MOUNT_POINT}


def _unescaped(text: str) -> str:
    """Return a path in which blanks and the like stand as octal numbers."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
