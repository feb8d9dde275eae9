"""The longest that each script keeps the server, with a million tasks pending, by its slow log.

That is the time on the wall: where others want the processor too, an outlier may be theirs, and it
is if a single command within a script is as long. So all is done in several rounds, the least of
whose longest is the script's own; and each phase says how many calls it made, how long they took on
average, and how often the server had to give up the processor.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bench.redis_scale import Scale
from bench.redis_store import LEASE, Meter, Queue
from bench.runs import merged, spread
from qcore.app.client.inline import run_inline
from qcore.domain.states import State
from qcore.domain.task import Claim, RetentionPolicy
from qcore.domain.transitions import Exhausted, Succeeded, Transition

CLAIMED = 100
BATCH = 1_000
PAGE = 500
PAGES = 4
COUNTS = 10
DUE = 3_600.0
"""Seconds from now: before that, nobody asks for what is due."""
ERROR = "ValueError: " + "x" * 100
Longest = dict[str, float]
"""Milliseconds, by script."""


def longest(queue: Queue, meter: Meter, scale: Scale) -> dict[str, Any]:
    """Go through all phases some times; 1 ms stands for all that is not longer."""
    meter.watch()
    phases = _Phases(queue, scale.moved)
    rounds = [_round(phases, meter) for _ in range(scale.runs)]
    names = sorted({name for slow, _ in rounds for name in slow})
    return {
        "longest_ms": {name: spread([slow.get(name, 1.0) for slow, _ in rounds]) for name in names},
        "phases": merged([figures for _, figures in rounds]),
    }


def _round(phases: "_Phases", meter: Meter) -> tuple[Longest, Mapping[str, Any]]:
    """Return the longest of each script, and what there is to say of each phase."""
    slow: Longest = {}
    return slow, {name: _watched(phase, meter, slow) for name, phase in phases.all().items()}


def _watched(phase: Callable[[], None], meter: Meter, slow: Longest) -> Mapping[str, float]:
    before = meter.read()
    phase()
    after = meter.read()
    kept = meter.slow()
    for name, ms in kept:
        slow[name] = max(ms, slow.get(name, 0.0))
    calls = after.calls - before.calls
    return {
        "calls": calls,
        "mean_ms": (after.scripts - before.scripts) / calls / 1000,
        "longest_ms": max((ms for _, ms in kept), default=1.0),
        "preempted": after.preempted - before.preempted,
    }


class _Phases:
    """Moves of many tasks, one after the other, each on what the ones before it have left."""

    def __init__(self, queue: Queue, moved: int) -> None:
        self._queue = queue
        self._broker = queue.broker
        self._moved = moved
        self._claimed: list[Claim] = []
        self._archived = 0

    def all(self) -> Mapping[str, Callable[[], None]]:
        return {
            "enqueue": self.enqueue,
            "enqueue_scheduled": self.schedule,
            "claim_from_a_flood": self.claim_from_a_flood,
            "settle": self.settle,
            "claim_to_crash": self.claim_to_crash,
            "sweep_crashed": self.sweep_crashed,
            "exhaust": self.exhaust,
            "trim_archived": self.trim,
            "browse": self.browse,
            "count": self.count,
        }

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
        """Archive what is too many, and before that as many as are kept."""
        self._claim(RetentionPolicy().count + self._moved - self._archived)
        self._settle(Exhausted(ERROR))
        self._archived = RetentionPolicy().count

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

    def _settle(self, outcome: Transition) -> None:
        for start in range(0, len(self._claimed), CLAIMED):
            self._queue.settle(self._claimed[start : start + CLAIMED], outcome)
        self._claimed.clear()
