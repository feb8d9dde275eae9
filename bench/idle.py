"""What a worker process costs that has nothing to do: `qcore worker`, watched through /proc."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

from bench.runs import merged

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "qcore", "worker", "bench.app:q")
SETTLE = 5.0
WINDOW = 20.0
RUNS = 3
TICKS = os.sysconf("SC_CLK_TCK")


def figures() -> dict[str, Any]:
    with TemporaryDirectory(prefix="qcore-bench-") as folder, ExitStack() as stack:
        urls = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/bench.db"}
        pids = {name: stack.enter_context(_worker(url)) for name, url in urls.items()}
        time.sleep(SETTLE)
        runs = [_window(pids) for _ in range(RUNS)]
    return merged(runs)


@contextmanager
def _worker(url: str) -> Iterator[int]:
    """Run a worker that has begun to serve."""
    environment = os.environ | {"QCORE_URL": url}
    with Popen(COMMAND, cwd=ROOT, env=environment, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("worker started" in line for line in process.stderr)
        yield process.pid
        process.terminate()


def _window(pids: dict[str, int]) -> dict[str, Any]:
    """Watch the processes for a while."""
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(WINDOW)
    seconds = time.monotonic() - began
    return {
        name: {
            "cpu_percent": 100 * (_cpu_seconds(pid) - before[name]) / seconds,
            "rss_mb": _status(pid, "VmRSS"),
            "peak_mb": _status(pid, "VmHWM"),
        }
        for name, pid in pids.items()
    }


def _cpu_seconds(pid: int) -> float:
    """Return what a process has had of a processor (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status(pid: int, name: str) -> float:
    """Return a size of a process in MB."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith(name)).split()[1]) / 1024
