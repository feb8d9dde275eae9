"""The Postgres broker on a server that flushes every commit; the worker in a process of its own.

`python -m bench postgres`, or `python -m bench.postgres URL` for a server that runs already.
"""

import json
import sys
from typing import Any

from bench.runs import repeated
from qcore.entrypoints.benchmark.run import measure
from qcore.entrypoints.logs import configure
from qcore.entrypoints.loop import run
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES

TASKS = 10_000
RUNS = 3
SETTINGS = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "max_wal_size": "1GB"}


def figures(url: str | None = None) -> dict[str, Any]:
    configure("warning")
    if url is not None:
        return repeated(lambda: _once(url), RUNS)
    with PostgresServer(POSTGRES[-1], **SETTINGS) as server:
        return {str(server.binary): repeated(lambda: _once(server.url("bench")), RUNS)}


def _once(url: str) -> dict[str, Any]:
    report = run(measure(url, TASKS))
    assert report.is_clean, report
    return report.figures()


# a worker process imports this module too, under another name
if __name__ == "__main__":
    print(json.dumps(figures(*sys.argv[1:2]), indent=2))
