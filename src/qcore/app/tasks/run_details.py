"""Where a run's progress and partial work go: the port of `Context`, and the checks before it."""

from typing import Final, Protocol

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Lease
from qcore.domain.text import storable

MAX_SAVED: Final = 1 << 20
"""The largest partial work in bytes, unless the client's `max_payload` says otherwise."""


class RunStorage(Protocol):
    """Stores the progress and the partial work of runs; see `Context`'s methods of these names."""

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Record how far a run has come, without waiting; may be called from any thread."""
        ...

    async def save(self, lease: Lease, data: bytes) -> None:
        """Store partial work; it is in the broker when this returns."""
        ...

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the partial work that was stored last; None for none."""
        ...

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Do what `save` does, in code that blocks."""
        ...

    def saved_sync(self, lease: Lease) -> bytes | None:
        """Do what `saved` does, in code that blocks."""
        ...


def progress_note(lease: Lease, now: Moment, fraction: float, message: str) -> DetailsUpdate:
    """Return a run's progress as an update of its details; raise `InvalidTask` if it is none."""
    # numpy.float64 is a float by inheritance, and not by its type
    if isinstance(fraction, float):
        fraction = float(fraction)
    if isinstance(message, str):
        message = storable(message)
    return DetailsUpdate(lease, Progress(now, fraction, message))


def saved_note(lease: Lease, data: bytes, most: int) -> DetailsUpdate:
    """Return partial work as an update; raise `InvalidTask` if it is not bytes, or too many."""
    note = DetailsUpdate(lease, saved=data)
    if len(data) > most:
        raise InvalidTask(
            f"what is to be saved is {len(data):,} bytes: expected at most {most:,}; store it "
            "elsewhere and save where it is, or raise max_payload"
        )
    return note
