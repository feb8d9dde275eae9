"""`WorkerRegistry`: which workers there are, as they announce themselves."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.moments import Moment
from qcore.domain.workers import WorkerInfo
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class WorkerRegistry(Protocol):
    """What a broker with `Capability.WORKERS` has besides: the workers that announce themselves."""

    async def announce(self, info: WorkerInfo) -> None:
        """List a worker until `info.expires`, or until it is withdrawn.

        - Everything announced comes back unchanged.
        - It takes the place of what was announced under the same id; others stay as they are.
        - Workers whose `expires` is `info.seen` or earlier are removed with it, at least a hundred
          of them: a store does not fill up with workers that were killed.
        """
        ...

    async def withdraw(self, worker: str) -> None:
        """Remove a worker by its id.

        - It is listed no more; others stay as they are. An id that is not listed is no error.
        - It may announce itself again, and is listed then.
        """
        ...

    async def workers(self, *, now: Moment) -> Sequence[WorkerInfo]:
        """Return the workers that have announced themselves.

        - One whose `expires` is `now` or earlier is not among them.
        - In the order of their starts, those of one moment in the order of their ids.
        """
        ...


def worker_registry_of(broker: Producer) -> WorkerRegistry | None:
    """Return a broker as one that lists workers; None where it declares that it does not."""
    return cast("WorkerRegistry", broker) if Capability.WORKERS in broker.capabilities else None
