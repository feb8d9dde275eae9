"""`Timekeeper`: the time by the clock of a store."""

from typing import Protocol, cast

from qcore.domain.moments import Moment
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class Timekeeper(Protocol):
    """What a broker with `Capability.TIME` has besides: the clock of its store."""

    def time(self) -> Moment:
        """Return what time it is by the store's clock.

        - All who have opened a broker on the store agree to within a round trip to it, whatever
          the clocks of their machines say.
        - A broker and its `blocking()` tell the same time once either was opened.
        - To ask makes nobody wait, and may be done from any thread.
        - Before the first opening it is this machine's time.
        """
        ...


def timekeeper_of(broker: Producer) -> Timekeeper | None:
    """Return a broker as one whose store has a clock; None where it declares that it has none."""
    return cast("Timekeeper", broker) if Capability.TIME in broker.capabilities else None
