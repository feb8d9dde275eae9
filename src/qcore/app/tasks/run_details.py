"""What a run says of itself, and who keeps it."""

from typing import Final, Protocol

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.retry import storable
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Lease

MAX_SAVED: Final = 1 << 20
"""Bytes of partial work that are kept, unless a client's `max_payload` says otherwise."""


class RunStorage(Protocol):
    """Who keeps what a run says of itself; see the methods of `Context` that have these names."""

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Take note of how far a run has come; from any thread, and nobody waits."""
        ...

    async def save(self, lease: Lease, data: bytes) -> None:
        """Keep partial work; it is kept when this returns."""
        ...

    async def saved(self, lease: Lease) -> bytes | None:
        """Return the work that was saved last."""
        ...

    def save_sync(self, lease: Lease, data: bytes) -> None:
        """Do what `save` does, in code that blocks."""
        ...

    def saved_sync(self, lease: Lease) -> bytes | None:
        """Do what `saved` does, in code that blocks."""
        ...


def progress_note(lease: Lease, now: Moment, fraction: float, message: str) -> DetailsUpdate:
    """Return how far a run has come, to be kept; raise `InvalidTask` for what says nothing."""
    # a number of another library's, as of NumPy, is a number
    if isinstance(fraction, float):
        fraction = float(fraction)
    if isinstance(message, str):
        message = storable(message)
    return DetailsUpdate(lease, Progress(now, fraction, message))


def saved_note(lease: Lease, data: bytes, most: int) -> DetailsUpdate:
    """Return partial work, to be kept; raise `InvalidTask` for what is no bytes, or too many."""
    note = DetailsUpdate(lease, saved=data)
    if len(data) > most:
        raise InvalidTask(
            f"what is to be saved is {len(data):,} bytes: expected at most {most:,}; store it "
            "elsewhere and save where it is, or raise max_payload"
        )
    return note
