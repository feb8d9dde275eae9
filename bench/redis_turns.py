"""Enqueueing one by one, blocking, beside a bare script and beside Huey, block by block in turn.

Each is a process of its own, and the others wait while one asks. Ratios are of the times of
neighbouring blocks, so that whatever else the machine does slows both alike; `qcore_to_bare` is
the part of a bare script's rate that qcore reaches. `python -m bench.redis_turns [TREE]` runs it by
itself, beside the qcore of another working tree if one is named.
"""

import json
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

from bench.peers.catalogue import CATALOGUE
from bench.peers.environments import ROOT, interpreter
from bench.peers.failures import Failure
from bench.peers.processes import Side
from bench.redis_store import Meter, a_server

BLOCK = 500
BLOCKS = 30
WARM_UP = 2_000


def figures(before: Path | None = None, *, blocks: int = BLOCKS) -> dict[str, Any]:
    with a_server() as server, Meter(server) as meter, ExitStack() as stack:
        sides = dict(_sides(f"redis://127.0.0.1:{server.port}/0", before))
        turns = {name: stack.enter_context(_turns(*side)) for name, side in sides.items()}
        for turn in turns.values():
            turn.take(WARM_UP, meter)
        taken: list[Mapping[str, tuple[float, ...]]] = []
        for n in range(blocks):
            order = [*turns] if n % 2 else [*reversed(turns)]
            taken.append({name: turns[name].take(BLOCK, meter) for name in order})
    return _summed(taken)


def _summed(taken: list[Mapping[str, tuple[float, ...]]]) -> dict[str, Any]:
    names = taken[0]
    found: dict[str, Any] = {
        name: {
            kind: round(median(each[name][k] for each in taken), 1)
            for k, kind in enumerate(("us", "client_cpu_us", "server_cpu_us"))
        }
        for name in names
    }
    for other in names:
        if other != "qcore":
            ratios = [each[other][0] / each["qcore"][0] for each in taken]
            found[f"qcore_to_{other}"] = round(median(ratios), 3)
            worked = [each[other][1] / each["qcore"][1] for each in taken]
            found[f"qcore_to_{other}_by_cpu"] = round(median(worked), 3)
    return found


def _sides(url: str, before: Path | None) -> Iterator[tuple[str, tuple[Side, Path | None]]]:
    yield "bare", (Side("bare", sys.executable, "bare", url), None)
    yield "qcore", (Side("qcore", sys.executable, "qcore", url), None)
    if before is not None:
        yield "before", (Side("before", sys.executable, "qcore", url), before)
    try:
        yield "huey", (Side("Huey", interpreter(CATALOGUE["huey"]), "huey", url), None)
    except Failure as failure:
        print(failure, file=sys.stderr)


class _Turns:
    def __init__(self, process: "Popen[str]") -> None:
        self._process = process

    def take(self, count: int, meter: Meter) -> tuple[float, ...]:
        """Ask for so many; return µs of each: on the clock, of its processor, of the server's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = meter.read()
        print(count, file=self._process.stdin, flush=True)
        seconds = json.loads(self._process.stdout.readline())
        spent = meter.read().cpu - before.cpu
        return (*(1e6 * each / count for each in seconds), spent / count)


@contextmanager
def _turns(side: Side, tree: Path | None) -> Generator[_Turns]:
    """Start a side, on the qcore of a tree if one is given."""
    source = {} if tree is None else {"PYTHONPATH": str(tree.resolve() / "src")}
    environment = side.environment() | source
    with Popen(
        side.command("turns"), cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        try:
            yield _Turns(process)
        finally:
            process.kill()


if __name__ == "__main__":
    print(json.dumps(figures(*map(Path, sys.argv[1:])), indent=2))
