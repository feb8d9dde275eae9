"""The health of a process whose work is done by others."""

from qcore.entrypoints.health.vital_signs import ClaimProof, Health, Pulse
from qcore.entrypoints.supervisor.fleet import Member


class FleetSigns:
    """What a supervisor knows of its workers; ready means that one of them can claim."""

    def __init__(self, size: int, pulse: Pulse) -> None:
        self._size = size
        self._pulse = pulse
        self._proofs: dict[Member, ClaimProof] = {}

    def serves(self, member: Member) -> None:
        """Count a worker from now on; that it can claim is yet to be proven."""
        self._proofs = {**self._proofs, member: ClaimProof()}

    def forget(self, member: Member) -> None:
        """Count a worker no more."""
        # a new one, as another thread goes through it
        self._proofs = {each: proof for each, proof in self._proofs.items() if each is not member}

    def note(self, member: Member, obstacle: str | None) -> None:
        """Take what a worker has found out: an obstacle to its claims, or None."""
        if member in self._proofs:
            self._proofs[member].note(obstacle)

    def live(self) -> Health:
        """Return whether the supervisor's own event loop turns."""
        return self._pulse.health()

    def ready(self) -> Health:
        """Return whether any worker can claim; the text says how many, and why one cannot."""
        obstacles = [proof.obstacle() for proof in self._proofs.values()]
        able = obstacles.count(None)
        text = f"{able} of {self._size} workers can claim"
        reasons = [each for each in obstacles if each is not None]
        # beside a full number there may be one that leaves
        if able < self._size and reasons:
            text = f"{text}: {reasons[0]}"
        return Health(is_well=able > 0, text=text)
