import subprocess
import sys

import pytest

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
