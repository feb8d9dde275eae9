"""How many tasks a system is given, so that a fast one and a slow one take about as long."""

from collections.abc import Mapping
from typing import Any

from qcore.domain.record import record

FIRST = 2_000
"""Tasks of the warm-up, in each way."""
LEAST = 500
STEP = 100


@record
class Limits:
    """What whoever runs it wants."""

    tasks: int
    """At most, in each way and to drain."""
    seconds: float
    """That a drain should take; asking in one way takes half of it."""
    probes: int


@record
class Plan:
    """What to ask of a system in one round."""

    asks: Mapping[str, int]
    """How many tasks in each way."""
    drain: int
    filler: str
    """The way in which those are asked for that are drained."""
    probes: int
    patience: float
    """Seconds for any one step, after which it has failed."""


def warm_up(ways: tuple[str, ...], limits: Limits) -> Plan:
    """Return the plan of the round by which the others are planned."""
    first = min(FIRST, limits.tasks)
    return Plan(dict.fromkeys(ways, first), first, ways[-1], min(10, limits.probes), 120.0)


def after(figures: Mapping[str, Any], ways: tuple[str, ...], limits: Limits) -> Plan:
    """Return the plan of all other rounds."""
    rates = {way: float(figures[f"{way}_per_s"]) for way in ways}
    return Plan(
        asks={way: _count(rate, limits.seconds / 2, limits) for way, rate in rates.items()},
        drain=_count(float(figures["drain_per_s"]), limits.seconds, limits),
        filler=max(rates, key=rates.__getitem__),
        probes=limits.probes,
        patience=60.0 + 20 * limits.seconds,
    )


def _count(rate: float, seconds: float, limits: Limits) -> int:
    """Return a round number of tasks that take so many seconds."""
    count = max(LEAST, int(rate * seconds) // STEP * STEP)
    return min(count, limits.tasks)
