"""What a process knows of its own health: written by its event loop, read by another thread."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from qcore.domain.record import record

STALE: Final = 12.0
"""Seconds after which the last proof that a worker can claim counts no more. A proof is due every
5 seconds (see `claim_probe`), so a worker that hangs is not ready within 15 seconds."""
HUNG: Final = 60.0
"""Seconds after which an event loop that has not turned is taken for one that never will."""


@record
class Health:
    """An answer to one question about health, with the reason in words."""

    is_well: bool
    text: str


class VitalSigns(Protocol):
    """Who can be asked about the health of a process, from any thread."""

    def live(self) -> Health:
        """Return whether the process works, or should be started anew."""
        ...

    def ready(self) -> Health:
        """Return whether the process can claim tasks now."""
        ...


class Pulse:
    """When an event loop has turned for the last time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._beat_at = now()

    def beat(self) -> None:
        """Note that the loop turns."""
        self._beat_at = self._now()

    def health(self) -> Health:
        """Return whether the loop turns; one that is blocked for a while does not count as hung."""
        silent = self._now() - self._beat_at
        if silent > HUNG:
            return Health(is_well=False, text=f"the event loop has been blocked for {silent:.0f} s")
        return Health(is_well=True, text="the process lives")


class ClaimProof:
    """The last proof that a worker can claim, or why it cannot."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._noted: tuple[float, str | None] = now(), "it has not started yet"
        """In one, as another thread reads it."""

    def note(self, obstacle: str | None) -> None:
        """Take what has just been found out: an obstacle, or None where the worker can claim."""
        self._noted = self._now(), obstacle

    def obstacle(self) -> str | None:
        """Return what keeps the worker from claiming; None where it can."""
        noted_at, obstacle = self._noted
        silent = self._now() - noted_at
        if obstacle is None and silent > STALE:
            return f"its event loop has been blocked for {silent:.0f} s"
        return obstacle


class WorkerSigns:
    """The health of a process that is one worker."""

    def __init__(self, pulse: Pulse, proof: ClaimProof) -> None:
        self._pulse = pulse
        self._proof = proof

    def live(self) -> Health:
        """Return whether the event loop turns."""
        return self._pulse.health()

    def ready(self) -> Health:
        """Return whether the worker can claim."""
        obstacle = self._proof.obstacle()
        if obstacle is None:
            return Health(is_well=True, text="the worker can claim")
        return Health(is_well=False, text=f"the worker cannot claim: {obstacle}")
