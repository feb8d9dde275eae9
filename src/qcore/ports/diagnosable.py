"""`Diagnosable`: a broker that examines its own store."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from qcore.domain.diagnostics import Finding


@runtime_checkable
class Diagnosable(Protocol):
    """What a broker is besides that can examine its own store: there is no capability for it."""

    async def diagnose(self) -> Sequence[Finding]:
        """Return how the store is, and what to do about it; it need not be open before.

        What it writes to try things out it removes again. Raises `BrokerUnavailable` or
        `BrokerUnusable` where nothing more can be said.
        """
        ...


def diagnosable_of(broker: object) -> Diagnosable | None:
    """Return a broker as one that can examine its own store; None where it has no such method."""
    return broker if isinstance(broker, Diagnosable) else None
