"""Run tasks whose workers crashed apart from others, so that the guilty one is found."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import Final

from qcore.app.worker.run import Run
from qcore.domain.crash_isolation import is_last_chance
from qcore.domain.task import Claim, Task
from qcore.ports import Clock

PROBATION: Final = 2.0
"""Seconds for which nothing is claimed beside tasks that have crashed, but may crash again. What
kills its worker mostly does so soon; and tasks that run for long must not keep a worker that idle
for long whose machine has lost its power once."""
LONGEST_WAIT: Final = 60.0
"""Seconds for which a task at its last chance waits for other suspects that run here, at most."""


class CrashIsolation:
    """Decide which claims of crashed tasks are started here, and how long nothing more is claimed.

    A broker hands out few tasks together that have crashed, and alone in its queue one whose next
    crash is its last; a claim from several queues may still hold several of them. While a task at
    its last chance runs nothing else is claimed. What runs already and has not crashed goes on
    beside it. `running` are the runs in hand.
    """

    def __init__(self, running: AbstractSet[Run], clock: Clock) -> None:
        self._running = running
        self._clock = clock
        self._closed_until = -inf
        self._waits_until: float | None = None
        """Until when a task at its last chance waits, which was given back for that."""
        self.is_active = False
        """Whether tasks that have crashed may be running here."""

    def admit(self, claims: Sequence[Claim]) -> tuple[Sequence[Claim], Sequence[Claim]]:
        """Return what to start of claims of which some have crashed, and what to give back."""
        self.is_active = True
        now = self._clock.monotonic()
        last = next((claim for claim in claims if is_last_chance(claim.task)), None)
        if last is None:
            self._closed_until = now + PROBATION
            return claims, ()
        if self._suspects() and (self._waits_until is None or now < self._waits_until):
            if self._waits_until is None:
                self._waits_until = now + LONGEST_WAIT
            self._closed_until = self._waits_until
            return (), claims
        self._waits_until = None
        return [last], [claim for claim in claims if claim is not last]

    def seconds_closed(self) -> float:
        """Return for how long nothing is to be claimed, unless a run ends before; 0 for now."""
        suspects = self._suspects()
        if not suspects:
            self._waits_until = None
            self.is_active = False
            return 0.0
        if any(map(is_last_chance, suspects)):
            return inf
        return max(0.0, self._closed_until - self._clock.monotonic())

    def _suspects(self) -> Sequence[Task]:
        return [run.claim.task for run in self._running if run.claim.task.crashes]
