"""Renew leases from a thread, so that a handler which blocks the event loop keeps its tasks."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import ceil, inf
from typing import Final

from qcore.app.client.division import OUTAGES, divided
from qcore.app.client.inline import run_inline
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.run import Run
from qcore.domain.answers import LeaseLost
from qcore.domain.events import BrokerFailed
from qcore.domain.moments import Moment
from qcore.domain.task import Lease
from qcore.ports import Broker, Clock, start_upkeep

LONGEST_BLIND: Final = 1.0
"""Seconds from one look at the leases to the next, at most."""
FEWEST_LOOKS: Final = 5
"""Looks in each beat, at least."""


class Heartbeat:
    """Renew the leases of `runs()` every third of their length; call `lost` with those lost.

    Between these beats it looks whether a lease has less than a third left, as after the broker was
    unavailable, this process frozen, the machine suspended or the time set. Then it renews at once,
    before other workers take the tasks for crashed (see `sweep_horizon`). `broker` has a link that
    blocks, as there is no event loop in the heartbeat's thread.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        lease: float,
        *,
        runs: Callable[[], Sequence[Run]],
        lost: Callable[[Run], None],
        emit: Instruments,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._lease = lease
        self._looks_per_beat = max(FEWEST_LOOKS, ceil(lease / 3 / LONGEST_BLIND))
        self.interval = lease / 3 / self._looks_per_beat
        """Seconds between two calls of `look`."""
        self._looks = 0
        self._runs = runs
        self._lost = lost
        self._emit = emit

    def start(self) -> Callable[[], None]:
        """Look at the leases again and again from now on; return what stops it."""
        return start_upkeep(
            self._clock, self.interval, self.look, is_busy=lambda: bool(self._held())
        )

    def look(self) -> None:
        """Renew the leases that have been held for a while, if it is time for that."""
        self._looks += 1
        now = self._clock.now()
        runs = self._held()
        if self._looks % self._looks_per_beat and self._safe_for(runs, now) > 0:
            return
        # what was claimed less than half a beat ago can wait for the next one
        fresh = now + self._lease * 5 / 6
        runs = [run for run in runs if run.ctx.lease.until < fresh]
        if runs:
            self._renew(runs, now)

    def _renew(self, runs: Sequence[Run], now: Moment) -> None:
        leases = [run.ctx.lease for run in runs]
        try:
            answers = run_inline(self._broker.extend(leases, until=now + self._lease))
        except Exception as error:  # noqa: BLE001  (the next look comes before the lease is over)
            if not isinstance(error, OUTAGES) and len(leases) > 1:
                self._renew_apart(runs, now, error)
                return
            next_beat = self.interval * (self._looks_per_beat - self._looks % self._looks_per_beat)
            again_in = min(next_beat, max(self.interval, self._safe_for(runs, now)))
            self._emit(BrokerFailed("extend", error, again_in))
            return
        self._take(runs, answers)

    def _renew_apart(self, runs: Sequence[Run], now: Moment, error: Exception) -> None:
        """Renew the leases that can be renewed, without those that the error is about.

        One that is odd, or one queue that cannot be served, must not cost the others theirs.
        """
        leases = [run.ctx.lease for run in runs]
        extend = partial(self._broker.extend, until=now + self._lease)
        answers = run_inline(divided(extend, leases, error, queue_of=lambda lease: lease.queue))
        failed: dict[int, Exception] = {}
        for run, answer in zip(runs, answers, strict=True):
            if isinstance(answer, Exception):
                failed[id(answer)] = answer
            else:
                self._take([run], [answer])
        for each in failed.values():
            self._emit(BrokerFailed("extend", each, self.interval))

    async def renew_endangered(self, broker: Broker, queues: Collection[str]) -> None:
        """Renew, by a call of `broker`, the leases in these queues with less than a third left.

        There are some only where the heartbeat did not come or could not renew them. A worker does
        this before it sweeps: whoever cannot renew must not judge others, nor take its own tasks.
        """
        now = self._clock.now()
        runs = [
            run
            for run in self._held()
            if run.ctx.lease.queue in queues and self._safe_for([run], now) <= 0
        ]
        if runs:
            leases = [run.ctx.lease for run in runs]
            self._take(runs, await broker.extend(leases, until=now + self._lease))

    def _safe_for(self, runs: Sequence[Run], now: Moment) -> float:
        """Return how long all these leases have more than a third left, in seconds."""
        ends = min((run.ctx.lease.until for run in runs), default=inf)
        return ends - now - self._lease / 3

    def _held(self) -> list[Run]:
        """Return the runs whose leases are to be renewed: not those that were found to be lost."""
        return [run for run in self._runs() if not run.has_lost_lease]

    def _take(self, runs: Sequence[Run], answers: Sequence[Lease | LeaseLost]) -> None:
        for run, answer in zip(runs, answers, strict=True):
            if isinstance(answer, LeaseLost):
                self._lost(run)
            else:
                run.ctx.lease = answer
