"""Several processes on one SQLite file: how soon an idle worker hears of a task, and at what cost.

- `wake`: from the call of enqueue, and from its answer, to the task's start in another process;
- `idle`: what a worker costs that has nothing to do, in percent of a core;
- `listeners`: the processor time of enqueueing a task beside so many listeners, against as many
  processes that only have the file open (`told`); and beside these against none (`open`), which is
  SQLite's own cost, as the kernel looks through the locks of all;
- `drain`: how fast two and four workers empty a full queue, against one.

With QCORE_BENCH_BEFORE, the folder `src` of another tree, each figure is of both, in turn, and
`ratio` is the median of the ratios of neighbours. QCORE_BENCH_PARTS names some of the parts.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

from bench.runs import merged

ROOT = Path(__file__).parents[1]
NOW = str(ROOT / "src")
BEFORE = os.environ.get("QCORE_BENCH_BEFORE")
PAIRS = int(os.environ.get("QCORE_BENCH_PAIRS", "8"))
TASKS, WARM_UP = 200, 5
SETTLE = 2.0
WINDOW = 20.0
PUSHES, GAP = {0.0: 3_000, 0.02: 300}, 0.02
CROWDS = (1, 100, 300)
DRAINED = 20_000
CREWS = (2, 4)


def figures() -> dict[str, Any]:
    parts: dict[str, Callable[[str], dict[str, Any]]] = {
        "wake": wake,
        "idle": idle,
        "listeners": listeners,
        "drain": drain,
    }
    chosen = os.environ.get("QCORE_BENCH_PARTS", ",".join(parts)).split(",")
    return {name: paired(parts[name]) for name in chosen}


def paired(measure: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Measure this tree, and the one before in turn."""
    trees = [NOW] if BEFORE is None else [NOW, BEFORE]
    runs: dict[str, list[Mapping[str, Any]]] = {tree: [] for tree in trees}
    for number in range(PAIRS):
        for tree in trees if number % 2 else trees[::-1]:
            runs[tree].append(measure(tree))
            print(measure.__name__, tree, runs[tree][-1], os.getloadavg()[0], file=sys.stderr)
    if BEFORE is None:
        return merged(runs[NOW])
    ratios = {
        name: median(now[name] / before[name] for now, before in zip(*runs.values(), strict=True))
        for name in runs[NOW][0]
    }
    return {"now": merged(runs[NOW]), "before": merged(runs[BEFORE]), "ratio": ratios}


@contextmanager
def a_file() -> Generator[str]:
    with TemporaryDirectory(prefix="qcore-bench-") as folder:
        yield f"sqlite:///{folder}/bench.db"


def started(tree: str, url: str, role: str, *arguments: object) -> Popen[str]:
    command = (sys.executable, "-m", "bench.sqlite_roles", role, *map(str, arguments))
    environment = os.environ | {"QCORE_URL": url, "PYTHONPATH": tree}
    return Popen(command, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True)


@contextmanager
def running(tree: str, url: str, role: str, *arguments: object) -> Generator[Popen[str]]:
    """Lend a process that has said that it is ready."""
    with started(tree, url, role, *arguments) as process:
        assert said(process) == "ready"
        yield process
        if process.poll() is None:
            process.terminate()


def said(process: Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def done(tree: str, url: str, role: str, *arguments: object) -> Any:
    """Return what a process says that ends by itself."""
    with started(tree, url, role, *arguments) as process:
        return said(process)


# --- parts -------------------------------------------------------------------------------------


def wake(tree: str) -> dict[str, Any]:
    with a_file() as url, running(tree, url, "worker") as worker:
        time.sleep(SETTLE)
        moments = done(tree, url, "produce", WARM_UP + TASKS)[WARM_UP:]
        time.sleep(GAP * 10)
        worker.terminate()
        starts = dict(said(worker)["starts"])
    assert len(starts) == WARM_UP + TASKS
    asked = [1000 * (starts[begun] - begun) for begun, _ in moments]
    answered = [1000 * (starts[begun] - end) for begun, end in moments]
    return {
        "asked_p50_ms": quantile(asked, 0.5),
        "asked_p99_ms": quantile(asked, 0.99),
        "answered_p50_ms": quantile(answered, 0.5),
        "answered_p99_ms": quantile(answered, 0.99),
    }


def idle(tree: str) -> dict[str, Any]:
    with a_file() as url, running(tree, url, "worker") as worker:
        time.sleep(SETTLE)
        before, began = cpu_seconds(worker.pid), time.monotonic()
        time.sleep(WINDOW)
        used, seconds = cpu_seconds(worker.pid) - before, time.monotonic() - began
        worker.terminate()
        said(worker)
    return {"cpu_percent": 100 * used / seconds}


def listeners(tree: str) -> dict[str, Any]:
    return {
        f"{name}_{crowd}_{kind}": value
        for name, gap in (("at_once", 0.0), ("now_and_then", GAP))
        for crowd in CROWDS
        for kind, value in _beside(tree, crowd, gap).items()
    }


def _beside(tree: str, crowd: int, gap: float) -> dict[str, float]:
    alone, opened, told = (
        _pushed(tree, *each, gap) for each in ((0, "open"), (crowd, "open"), (crowd, "listen"))
    )
    return {"open": opened / alone, "told": told / opened}


def _pushed(tree: str, crowd: int, role: str, gap: float) -> float:
    """Return the processor time that it takes to enqueue a task, in seconds."""
    with a_file() as url, ExitStack() as stack:
        done(tree, url, "fill", 1_000)
        if crowd:
            stack.enter_context(running(tree, url, role, crowd))
        return median(done(tree, url, "push", PUSHES[gap], gap))


def drain(tree: str) -> dict[str, Any]:
    rates = {crew: _drained(tree, crew) for crew in (1, *CREWS)}
    return {"one_per_s": rates[1]} | {f"{crew}_to_1": rates[crew] / rates[1] for crew in CREWS}


def _drained(tree: str, crew: int) -> float:
    with a_file() as url, ExitStack() as stack:
        done(tree, url, "fill", DRAINED)
        workers = [stack.enter_context(running(tree, url, "drainer")) for _ in range(crew)]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        starts = sorted(start for worker in workers for _, start in said(worker)["starts"])
    assert len(starts) == DRAINED
    return DRAINED / (starts[-1] - starts[0])


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process's threads (proc(5), schedstat)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9
