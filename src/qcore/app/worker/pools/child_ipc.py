"""What a handler in a child process says, and asks, of its run: over the pipe to its worker."""

import threading
from multiprocessing.connection import Connection
from typing import Any, Literal

from qcore.app.tasks.run_details import progress_note
from qcore.domain.errors import QcoreError
from qcore.domain.record import record
from qcore.domain.task import Lease


@record
class ChildRequest:
    """A method of a `Context`, and what it is called with. All but progress wait for an answer."""

    verb: Literal["progress", "save_sync", "saved_sync"]
    args: tuple[Any, ...]


class ChildProgressWriter:
    """Keep what a run in a child process says, by way of its worker. May be used from threads."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._is_over = False

    def progress(self, lease: Lease, fraction: float, message: str) -> None:
        """Take note of how far a run has come."""
        progress = progress_note(lease, 0.0, fraction, message).progress
        if progress is not None:
            self._say(ChildRequest("progress", (progress.fraction, progress.message)))

    def save_sync(self, lease: Lease, data: bytes) -> None:  # noqa: ARG002  (the worker knows it)
        """Keep partial work; it is kept when this returns."""
        self._say(ChildRequest("save_sync", (data,)))

    def saved_sync(self, lease: Lease) -> bytes | None:  # noqa: ARG002
        """Return the work that was saved last."""
        saved: bytes | None = self._say(ChildRequest("saved_sync", ()))
        return saved

    async def save(self, lease: Lease, data: bytes) -> None:
        """Do what `save_sync` does: a process has nothing else to do meanwhile."""
        self.save_sync(lease, data)

    async def saved(self, lease: Lease) -> bytes | None:
        """Do what `saved_sync` does."""
        return self.saved_sync(lease)

    def end(self) -> None:
        """Say no more: what a thread that goes on says is of a run that is over."""
        with self._lock:
            self._is_over = True

    def _say(self, said: ChildRequest) -> Any:
        with self._lock:
            if self._is_over:
                raise QcoreError("the run is over: nothing more is kept of it")
            self._pipe.send(said)
            if said.verb == "progress":
                return None
            good, value = self._pipe.recv()
        if not good:
            raise value
        return value
