"""What there is to say in numbers: while it runs, and at the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.signup.stage.audit import Delivery, Promise
from qcore import State, Task

UNFINISHED: Final = (State.SCHEDULED, State.PENDING, State.ACTIVE, State.RETRY)
ENDED: Final = (State.COMPLETED, State.ARCHIVED, State.DEAD)

Counts = Mapping[str, Mapping[State, int]]
"""The number of tasks by queue and state, as `q.inspector.counts()` has it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the demo."""

    seconds: float
    expected: int
    """How many tasks there will be."""
    counts: Counts
    delivered: int
    deferred: int
    refused: int
    workers: Sequence[str]
    """What each of them is doing."""

    @property
    def ended(self) -> int:
        """Return how many tasks have ended."""
        return in_states(self.counts, ENDED)

    @property
    def unfinished(self) -> int:
        """Return how many tasks have not ended."""
        return in_states(self.counts, UNFINISHED)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long tasks of one name took from being enqueued to their file being there, in seconds."""

    name: str
    count: int
    p50: float
    p95: float
    longest: float


def in_states(counts: Counts, states: Iterable[State]) -> int:
    """Return the number of tasks in some states."""
    return sum(row.get(state, 0) for state in states for row in counts.values())


def latencies(
    promises: Iterable[Promise], tasks: Mapping[str, Task | None], deliveries: Iterable[Delivery]
) -> list[Latency]:
    """Measure each promise by the time of its file; of a mail that came twice, by the first."""
    mails = {delivery.task_id: delivery.path for delivery in reversed(list(deliveries))}
    taken: dict[str, list[float]] = {}
    for promise in promises:
        task = tasks.get(promise.task_id)
        path = promise.file or mails.get(promise.task_id)
        if task is not None and path is not None and path.exists():
            taken.setdefault(promise.name, []).append(_written(path) - task.created)
    return [_latency(name, sorted(seconds)) for name, seconds in taken.items()]


def _latency(name: str, seconds: Sequence[float]) -> Latency:
    count = len(seconds)
    at = [seconds[min(count - 1, int(count * share))] for share in (0.5, 0.95)]
    return Latency(name, count, at[0], at[1], seconds[-1])


def _written(path: Path) -> float:
    return path.stat().st_mtime
