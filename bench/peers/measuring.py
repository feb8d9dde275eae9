"""One system, once: asking in each way, draining, being idle, and being woken."""

import time
from collections.abc import Sequence
from typing import Any

from bench.peers.failures import Failure
from bench.peers.plans import Plan
from bench.peers.processes import Side, Worker
from bench.peers.stores import Store
from qcore.entrypoints.benchmark.report import percentile

SETTLE = 1.0
"""Seconds that a worker has, after its last task has begun, to say that it is done."""
PERCENTS = (50, 95, 99)
IDLE = 2.0
CONNECTING = 5
"""Probes whose latency does not count: the first of a client opens its connection."""


def measure(side: Side, plan: Plan, store: Store) -> dict[str, Any]:
    """Return the figures of one run."""
    store.serve(side.module, lambda: side.prepare(plan.patience))
    rates = {f"{way}_per_s": _asked(side, way, plan, store) for way in plan.asks}
    store.flush()
    empty = store.costs()
    side.ask(plan.filler, plan.drain, "fill", plan.patience)
    full = store.costs()
    with side.worker(plan.drain, CONNECTING + plan.probes) as worker:
        drained = worker.drained(plan.patience)
        spent = store.costs().cpu_s - empty.cpu_s
        if drained["ran"] < plan.drain:
            raise Failure(
                f"{side.title}: of {plan.drain} tasks its worker ran {drained['ran']} "
                f"in {plan.patience:.0f} s"
            )
        time.sleep(SETTLE)
        idle = _idle(store)
        latencies, audit = _probed(side, worker, plan)
    return rates | {
        "drain_per_s": round(drained["rate"]),
        "latency_ms": {f"p{p}": round(1000 * percentile(latencies, p), 3) for p in PERCENTS},
        "worker_rss_mb": round(drained["rss_mb"], 1),
        "store_us_per_task": round(1e6 * spent / plan.drain, 1),
        "store_bytes_per_task": round((full.size - empty.size) / plan.drain),
        **idle,
        **audit,
    }


def _asked(side: Side, way: str, plan: Plan, store: Store) -> int:
    """Return how many tasks a second can be asked for."""
    store.flush()
    count = plan.asks[way]
    return round(count / side.ask(way, count, "warm", plan.patience))


def _idle(store: Store) -> dict[str, float]:
    """Return how many requests a second the server is given by a worker with nothing to do."""
    began, before = time.monotonic(), store.costs().requests
    time.sleep(IDLE)
    after = store.costs().requests
    if before is None or after is None:
        return {}
    return {"idle_requests_per_s": round((after - before) / (time.monotonic() - began), 1)}


def _probed(side: Side, worker: Worker, plan: Plan) -> tuple[Sequence[float], dict[str, int]]:
    """Return the seconds from asking to beginning, and what an auditor makes of all tasks."""
    asked = side.probe(plan.drain, CONNECTING + plan.probes, plan.patience)
    answer = worker.probed(plan.patience)
    pairs = list(zip(asked, answer["starts"], strict=True))[CONNECTING:]
    latencies = [began - when for when, began in pairs if began]
    return latencies, {"lost": answer["lost"], "duplicated": answer["duplicated"]}
