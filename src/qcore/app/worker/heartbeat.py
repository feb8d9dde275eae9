"""Renew leases from a thread, so that a handler which blocks the event loop keeps its tasks."""

from collections.abc import Callable, Sequence

from qcore.app.client.inline import run_inline
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.run import Run
from qcore.domain.answers import LeaseLost
from qcore.domain.errors import BrokerUnusable
from qcore.domain.events import BrokerFailed
from qcore.domain.moments import Moment
from qcore.ports import Broker, Clock


class Heartbeat:
    """Renew the leases of `runs()` every third of their length; call `lost` with those lost.

    `broker` has a link that blocks, as there is no event loop in the heartbeat's thread.
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
        self.interval = lease / 3
        self._runs = runs
        self._lost = lost
        self._emit = emit

    def beat(self) -> None:
        """Renew the leases that have been held for a while; report those that are lost."""
        now = self._clock.now()
        fresh = now + self._lease - self.interval / 2
        runs = [run for run in self._runs() if run.ctx.lease.until < fresh]
        if runs:
            self._renew(runs, now)

    def _renew(self, runs: Sequence[Run], now: Moment) -> None:
        leases = [run.ctx.lease for run in runs]
        try:
            answers = run_inline(self._broker.extend(leases, until=now + self._lease))
        except Exception as error:  # noqa: BLE001  (the next beat comes before the lease is over)
            queues = {lease.queue for lease in leases}
            if isinstance(error, BrokerUnusable) and len(queues) > 1:
                # one queue that cannot be served must not cost the others their leases
                for queue in queues:
                    self._renew([run for run in runs if run.ctx.lease.queue == queue], now)
                return
            self._emit(BrokerFailed("extend", error, self.interval))
            return
        for run, answer in zip(runs, answers, strict=True):
            if isinstance(answer, LeaseLost):
                self._lost(run)
            else:
                run.ctx.lease = answer
