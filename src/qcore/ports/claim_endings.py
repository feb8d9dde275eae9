"""`ClaimEndings`: the tasks that claims end instead of handing them out."""

from collections.abc import Sequence
from typing import Protocol, cast

from qcore.domain.answers import Swept
from qcore.ports.capability import Capability
from qcore.ports.producer import Producer


class ClaimEndings(Protocol):
    """What a broker with `Capability.CLAIM_ENDINGS` has besides: it names what its claims ended.

    The answer of `claim` has the tasks that were handed out alone. A worker asks for the others
    after each of its claims, so that they have their line in the log and are counted.
    """

    def take_ended(self) -> Sequence[Swept]:
        """Return the tasks that claims of this broker object have ended, and forget them.

        Where `blocking()` is another object, that one knows what its own claims have ended.

        - One `Swept` for each claim that ended any, the oldest first, with the number of those that
          had expired, and of those that could not be read; it names the first `MAX_SWEPT_TASKS`.
        - Each is returned once, whoever asks.
        - While nobody asks, those of the last 16 claims are kept.
        - It reads nothing from the store, makes nobody wait, and may be called from any thread.
        """
        ...


def claim_endings_of(broker: Producer) -> ClaimEndings | None:
    """Return a broker as one that names what its claims ended; None where it does not."""
    has_them = Capability.CLAIM_ENDINGS in broker.capabilities
    return cast("ClaimEndings", broker) if has_them else None
