"""The longest that each script keeps the server, with a million tasks pending, by its slow log.

That is the time on the wall: where others want the processor too, an outlier may be theirs. So
each phase says how many calls it made, and how long they took on average.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.redis_scale import Scale
from bench.redis_store import LEASE, Meter, Queue
from qcore.app.inline import run_inline
from qcore.domain.lifecycle import Event, Exhausted, State, Succeeded
from qcore.domain.task import Claim, Keep

CLAIMED = 100
BATCH = 1_000
PAGE = 500
PAGES = 4
COUNTS = 10
DUE = 3_600.0
"""Seconds from now: before that, nobody asks for what is due."""
ERROR = "ValueError: " + "x" * 100
Found = list[tuple[str, float]]


def longest(queue: Queue, meter: Meter, scale: Scale) -> dict[str, Any]:
    """Go through all phases; return each one's figures, and the longest of each script at all."""
    meter.watch()
    phases = _Phases(queue, scale.moved)
    slow: Found = []
    found = {
        name: _watched(phase, meter, slow)
        for name, phase in (
            ("enqueue", phases.enqueue),
            ("enqueue_scheduled", phases.schedule),
            ("claim_from_a_flood", phases.claim_from_a_flood),
            ("settle", phases.settle),
            ("claim_to_crash", phases.claim_to_crash),
            ("sweep_crashed", phases.sweep_crashed),
            ("exhaust", phases.exhaust),
            ("trim_archived", phases.trim),
            ("browse", phases.browse),
            ("count", phases.count),
        )
    }
    return {"longest_ms": _longest(slow), "over_1_ms": len(slow), "phases": found}


def _watched(phase: Callable[[], None], meter: Meter, slow: Found) -> dict[str, Any]:
    before = meter.read()
    phase()
    after = meter.read()
    kept = meter.slow()
    slow += kept
    calls = after.calls - before.calls
    return {
        "calls": calls,
        "mean_ms": round((after.scripts - before.scripts) / calls / 1000, 3),
        "over_1_ms": len(kept),
        "longest_ms": _longest(kept),
    }


def _longest(slow: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    """Return the longest of each script that was ever longer than a millisecond."""
    return {name: ms for name, ms in sorted(slow, key=lambda one: one[1])}


class _Phases:
    """Moves of many tasks, one after the other, each on what the ones before it have left."""

    def __init__(self, queue: Queue, moved: int) -> None:
        self._queue = queue
        self._broker = queue.broker
        self._moved = moved
        self._claimed: list[Claim] = []

    def enqueue(self) -> None:
        self._queue.fill(2 * self._moved)

    def schedule(self) -> None:
        self._queue.fill(self._moved, due=self._queue.now + DUE)

    def claim_from_a_flood(self) -> None:
        self._claim(self._moved, later=DUE + 1)

    def settle(self) -> None:
        self._settle(Succeeded())

    def claim_to_crash(self) -> None:
        self._claim(self._moved, lease=1.0)
        self._claimed.clear()

    def sweep_crashed(self) -> None:
        swept = run_inline(self._broker.sweep([self._queue.name], self._moved, now=self._over()))
        assert swept.crashed == self._moved, swept

    def exhaust(self) -> None:
        """Archive as many as are kept, and those beyond."""
        self._claim(Keep().count + self._moved)
        self._settle(Exhausted(ERROR))

    def trim(self) -> None:
        swept = run_inline(self._broker.sweep([self._queue.name], self._moved, now=self._over()))
        assert swept.trimmed == self._moved, swept

    def browse(self) -> None:
        for state in (State.PENDING, State.ARCHIVED):
            cursor = None
            for _ in range(PAGES):
                page = run_inline(self._broker.browse(self._queue.name, state, PAGE, cursor=cursor))
                assert len(page.tasks) == PAGE
                cursor = page.cursor

    def count(self) -> None:
        for _ in range(COUNTS):
            run_inline(self._broker.count())

    def _over(self) -> float:
        """Return a moment at which the short leases are over and the long are not."""
        return self._queue.now + LEASE / 2

    def _claim(self, number: int, *, later: float = 0.0, lease: float = LEASE) -> None:
        for _ in range(0, number, CLAIMED):
            self._claimed += self._queue.claim(CLAIMED, later=later, lease=lease)

    def _settle(self, outcome: Event) -> None:
        for start in range(0, len(self._claimed), CLAIMED):
            self._queue.settle(self._claimed[start : start + CLAIMED], outcome)
        self._claimed.clear()
