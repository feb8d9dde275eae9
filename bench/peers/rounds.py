"""All systems in turn, round after round, so that a machine that drifts is unfair to none."""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from os import cpu_count, getloadavg
from typing import Any

from bench.peers import plans
from bench.peers.catalogue import Entry
from bench.peers.environments import interpreter, version_of
from bench.peers.failures import Failure
from bench.peers.measuring import measure
from bench.peers.plans import Limits, Plan
from bench.peers.postgres_store import a_postgres
from bench.peers.processes import Side
from bench.peers.redis_store import a_redis
from bench.peers.stores import Store

STORES: Mapping[str, Callable[[], AbstractContextManager[Store]]] = {
    "redis": a_redis,
    "postgres": a_postgres,
}


class Contest:
    """The systems that have not failed yet, and what is known of each."""

    def __init__(self, entries: Sequence[Entry], limits: Limits, store: Store) -> None:
        self._limits, self._store = limits, store
        self._sides: dict[Entry, Side] = {}
        self._plans: dict[Entry, Plan] = {}
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.failed: dict[str, str] = {}
        for entry in entries:
            self._attempt(entry, self._prepare)

    def warm_up(self) -> None:
        for entry in list(self._sides):
            print(f"warm-up: {entry.title} …", file=sys.stderr, flush=True)
            self._attempt(entry, self._plan)

    def round(self, number: int) -> None:
        for entry in list(self._sides):
            print(f"round {number}: {entry.title} …", file=sys.stderr, flush=True)
            self._attempt(entry, self._run)

    def planned(self) -> dict[str, Plan]:
        return {entry.name: plan for entry, plan in self._plans.items()}

    def _attempt(self, entry: Entry, step: Callable[[Entry], None]) -> None:
        """Take a step with a system; from one that fails, nothing more is asked."""
        try:
            step(entry)
        except Failure as failure:
            print(f"{failure}\n{entry.title} is left out", file=sys.stderr, flush=True)
            self.failed[entry.name] = str(failure)
            self._sides.pop(entry, None)
            self.runs.pop(entry.name, None)

    def _prepare(self, entry: Entry) -> None:
        self._sides[entry] = Side(entry.title, interpreter(entry), entry.module, self._store.url)

    def _plan(self, entry: Entry) -> None:
        first = plans.warm_up(entry.ways, self._limits)
        figures = measure(self._sides[entry], first, self._store)
        self._plans[entry] = plans.after(figures, entry.ways, self._limits)

    def _run(self, entry: Entry) -> None:
        figures = measure(self._sides[entry], self._plans[entry], self._store)
        self.runs.setdefault(entry.name, []).append(figures)


def contest(name: str, entries: Sequence[Entry], limits: Limits, rounds: int) -> dict[str, Any]:
    """Measure some systems; return the store, the machine, the plans and all figures."""
    load = getloadavg()[0]
    with STORES[name]() as store:
        it = Contest(entries, limits, store)
        it.warm_up()
        for number in range(1, rounds + 1):
            it.round(number)
        version = store.version()
        machine = {
            "day": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "processors": cpu_count(),
            "load_before": round(load, 1),
        }
    return {
        "store": {"name": name, "version": version},
        "machine": machine,
        "rounds": rounds,
        "systems": {
            entry.name: {
                "version": version_of(entry),
                "tasks": {"drain": plan.drain, **plan.asks},
                "runs": it.runs[entry.name],
            }
            for entry in entries
            if entry.name in it.runs and (plan := it.planned()[entry.name])
        },
        "failed": it.failed,
    }
