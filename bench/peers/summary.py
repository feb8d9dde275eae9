"""What many runs say: medians and ranges, whether all is well, and by how much qcore is faster."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.peers.catalogue import is_ours
from bench.runs import merged, spread

ONE_BY_ONE = ("blocking", "awaited")
AUDITED = ("lost", "duplicated")

Run = Mapping[str, Any]


def summarised(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results with the figures of each system, and the ratios, put in."""
    systems = {name: _system(system) for name, system in results["systems"].items()}
    return {**results, "systems": systems, "ratios": ratios(results["systems"])}


def is_clean(results: Mapping[str, Any]) -> bool:
    """Return whether no system failed, and none lost a task or ran one twice."""
    counts = (system["audit"][count] for system in results["systems"].values() for count in AUDITED)
    return not results["failed"] and not any(counts)


def ratios(systems: Mapping[str, Any]) -> dict[str, Any]:
    """Return qcore's rates over those of the fastest peer, round by round."""
    return {
        "drain_over_fastest_peer": _ratio(systems, _drain, _drain),
        "blocking_enqueue_over_fastest_peer": _ratio(systems, _blocking, _one_by_one),
    }


def _system(system: Mapping[str, Any]) -> dict[str, Any]:
    runs = system["runs"]
    figures = [{name: run[name] for name in run if name not in AUDITED} for run in runs]
    audit = {count: sum(run[count] for run in runs) for count in AUDITED}
    return {**system, "figures": merged(figures), "audit": audit}


def _ratio(
    systems: Mapping[str, Any],
    ours: Callable[[Run], float],
    theirs: Callable[[Run], float],
) -> dict[str, Any] | None:
    """Return None if qcore or all its peers were left out."""
    peers = {name: system["runs"] for name, system in systems.items() if not is_ours(name)}
    own = next((system["runs"] for name, system in systems.items() if is_ours(name)), None)
    if own is None or not peers:
        return None
    fastest = max(peers, key=lambda name: median(map(theirs, peers[name])))
    best: Sequence[float] = [max(map(theirs, runs)) for runs in zip(*peers.values(), strict=True)]
    mine = map(ours, own)
    quotients = [rate / other for rate, other in zip(mine, best, strict=True)]
    return {"peer": fastest, **spread(quotients)}


def _drain(run: Run) -> float:
    return float(run["drain_per_s"])


def _blocking(run: Run) -> float:
    return float(run["blocking_per_s"])


def _one_by_one(run: Run) -> float:
    return float(max(run.get(f"{way}_per_s", 0) for way in ONE_BY_ONE))
