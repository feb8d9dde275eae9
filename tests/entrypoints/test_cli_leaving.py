import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from qcore.entrypoints.streams import LossyStream

STUCK = """
import sys, threading
from qcore.entrypoints.exiting import leave_now

class Stuck:
    def write(self, text):
        threading.Event().wait()
    flush = isatty = write

sys.{stream} = Stuck()
threading.Thread(target=leave_now, args=(3, "gone")).start()
threading.Event().wait()
"""


@pytest.mark.system
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_process_leaves_though_nobody_can_write(stream: str) -> None:
    """What is stuck may be the very stream on which the last words are to be said."""
    command = [sys.executable, "-c", STUCK.format(stream=stream)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 3


@pytest.mark.system
@pytest.mark.parametrize(
    ("redirection", "status"),
    [("<&- >&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 1)],
    ids=["all closed", "no room for the log", "no room for what it prints"],
)
def test_streams_that_cannot_be_used_are_no_reason_to_break(
    tmp_path: Path, redirection: str, status: int
) -> None:
    """A worker works without its log; what was to be printed and is not is an error of a line."""
    (tmp_path / "jobs.py").write_text("from qcore import Qcore\nq = Qcore('memory://')\n")
    what = "doctor --url memory://" if redirection.startswith(">") else "worker jobs:q --burst"
    command = ["sh", "-c", f"{sys.executable} -m qcore {what} {redirection}"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert len(ended.stderr.splitlines()) == status


class Full(io.StringIO):
    """A stream on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_be_written_is_lost() -> None:
    """Whoever logs goes on."""
    lossy = LossyStream(Full())
    assert lossy.write("a line") == 6
    lossy.flush()
    closed = io.StringIO()
    closed.close()
    assert LossyStream(closed).write("a line") == 6
