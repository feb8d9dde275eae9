"""`Limiting`: pause a queue, and limit its rate and the number of its active tasks."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.moments import Moment
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class Limiting(Protocol):
    """What a broker with `Capability.LIMITS` has besides: limits that hold for all workers."""

    async def set_limit(self, queue: str, change: LimitChange, *, now: Moment) -> Limits:
        """Set one of a queue's limits, for all who claim from it, from now on.

        - The answer is what holds then, the other limits as they were; `limits` tells the same.
        - `SetPaused(True)`: nothing is handed out; what is due becomes pending all the same, and
          what is active goes on. `SetPaused(False)`: it is handed out again.
        - `SetInFlight(n)`: nothing is handed out that would make more than `n` tasks active.
        - `SetRate(rate)`: tasks are handed out as `Rate` says, whoever claims them, from a bucket
          that is full now; the rate that holds already, set again, does not fill it. What is dead,
          "expired", takes nothing from it, and what comes back puts nothing into it. It is never
          emptier than empty: if an earlier claim's clock was ahead, the next one stores when a
          bucket that is empty now would be full.
        - None lifts a limit. Limits last while the queue is empty; without any, nothing is left.
        """
        ...

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        """Return what holds for queues.

        - Each answer is at its queue's place; `Limits()` for one that is unknown.
        """
        ...

    async def limited_queues(self) -> Sequence[str]:
        """Return the queues that have limits.

        - Sorted by name, each once; also those without tasks, and none whose limits were lifted.
        """
        ...


def limiting_of(broker: Producer) -> Limiting | None:
    """Return a broker as one that can limit its queues; None where it declares that it cannot."""
    return cast("Limiting", broker) if Capability.LIMITS in broker.capabilities else None
