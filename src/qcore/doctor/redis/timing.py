"""Timing: latency, clock offset, and the slow log."""

import math
import time
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final

from qcore.adapters.links.redis import Node, Reply
from qcore.adapters.redis.scripts import SCRIPTS
from qcore.doctor.redis.server_queries import Server, ServerQueries
from qcore.domain.diagnostics import Finding, advice, ok, warning
from qcore.domain.errors import QcoreError

PINGS: Final = 100
LONGEST: Final = 2.0
"""Seconds for all pings."""
FAR: Final = 0.005
"""Seconds for a round trip from which on it is felt."""
STALLED: Final = 0.1
WRONG: Final = 1.0
"""Seconds between two clocks."""
RECENT: Final = 86_400
"""Seconds that an entry of the slow log is of interest."""
ENTRIES: Final = 128
SLOW, TOO_SLOW = 5_000, 50_000
"""Microseconds of a script."""

_NAMES: Final = {script.digest.encode(): name for name, script in SCRIPTS.items()}


async def latency(node: Node) -> Finding:
    """Measure round trips, one after the other."""
    taken: list[float] = []
    ends = perf_counter() + LONGEST
    while len(taken) < PINGS and (not taken or perf_counter() < ends):
        began = perf_counter()
        await node.ask(("PING",))
        taken.append(perf_counter() - began)
    return findings_of(taken)


def findings_of(taken: Sequence[float]) -> Finding:
    """Tell whether round trips, in seconds, are as they should be."""
    half, most = (_percentile(taken, percent) for percent in (50, 99))
    found = f"{1000 * half:.2f} ms p50, {1000 * most:.2f} ms p99, of {len(taken)} round trips"
    if most >= STALLED:
        return warning(
            "latency",
            found,
            "something holds it up: look at SLOWLOG, at swapping, and at the load of both machines",
        )
    if half >= FAR:
        return advice(
            "latency",
            found,
            "run it nearer to the workers; enqueue_many and a larger concurrency go together",
        )
    return ok("latency", found)


def _percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all are not above (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


async def clock_offset(node: Node) -> float | None:
    """Return how many seconds a server's clock is ahead of this machine's; None if not told.

    Of a few answers that of the quickest counts.
    """
    best: tuple[float, float] | None = None
    for _ in range(5):
        began, sent = time.time(), perf_counter()
        [reply] = await node.ask(("TIME",))
        took = perf_counter() - sent
        if isinstance(reply, QcoreError):
            return None
        offset = int(reply[0]) + int(reply[1]) / 1e6 - (began + took / 2)
        best = min(best or (took, offset), (took, offset))
    return None if best is None else best[1]


def clocks(found: Mapping[str, float]) -> list[Finding]:
    """Tell whether servers and this machine agree, of how far each server is ahead."""
    if not found:
        return []
    first, *_ = found.values()
    if max(found.values()) - min(found.values()) > WRONG:
        told = ", ".join(f"{name} {seconds:+.1f} s" for name, seconds in found.items())
        return [warning("clock", f"servers disagree: {told} to this machine", "run NTP on them")]
    if abs(first) > WRONG:
        way = "behind" if first > 0 else "ahead of"
        return [
            warning(
                "clock",
                f"this machine is {abs(first):,.1f} s {way} the server: leases and delays go by "
                "the server's clock, moments that are computed here are off",
                "run NTP on both",
            )
        ]
    return [ok("clock", f"this machine and the server agree to {max(1, abs(1000 * first)):.0f} ms")]


async def slow_log(server: Server, namespace: str, queries: ServerQueries) -> list[Finding]:
    """Tell which scripts of qcore the server found slow of late."""
    entries, now = await queries.ask(server.node, ("SLOWLOG", "GET", ENTRIES), ("TIME",))
    if entries is None or now is None:
        return []
    slowest: dict[str, int] = {}
    for _, at, took, words, *_ in entries:
        name = _script(words, namespace)
        if name is not None and at > int(now[0]) - RECENT:
            slowest[name] = max(took, slowest.get(name, 0))
    least = server.config.get("slowlog-log-slower-than", "10000")
    return [_slow(slowest, int(least))]


def _slow(slowest: Mapping[str, int], least: int) -> Finding:
    if least < 0:
        return advice("slow log", "it is off", "CONFIG SET slowlog-log-slower-than 10000")
    if not slowest:
        return ok("slow log", f"no script of qcore above {least / 1000:g} ms in the last day")
    worst = max(slowest.values())
    told = ", ".join(f"{name} {took / 1000:.1f} ms" for name, took in slowest.items())
    grade = warning if worst >= TOO_SLOW else advice if worst >= SLOW else ok
    return grade(
        "slow log",
        f"the slowest in the last day: {told}",
        "" if grade is ok else "look at swapping, the machine's load, and the size of payloads",
    )


def _script(words: Sequence[Reply], namespace: str) -> str | None:
    """Return which script of ours a command has run, None for one that is not ours."""
    name, *rest = words
    if name.upper() not in {b"EVAL", b"EVALSHA"} or len(rest) < 3:  # noqa: PLR2004  (has a key)
        return None
    known = _NAMES.get(rest[0])
    ours = rest[2].startswith(f"{namespace}:{{".encode())
    return known or ("of another version" if ours else None)
