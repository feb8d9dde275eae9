"""The link that blocks: its `async def` methods never suspend."""

from typing import Self, TypeVar

from qcore.adapters.links.sqlite.connection import Handle
from qcore.adapters.links.sqlite.file_watcher import Watch
from qcore.adapters.links.sqlite.interfaces import Act
from qcore.adapters.links.sqlite.link_base import Linked, nothing
from qcore.adapters.links.sqlite.work_item import Job

T = TypeVar("T")


class BlockingSqliteLink(Linked):
    """Run transactions in the calling thread, whichever it is, one at a time."""

    def blocking(self) -> Self:
        """Return itself."""
        return self

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        self._run(Job(nothing, writes=False))

    async def close(self) -> None:
        """Disconnect when the calls in flight have ended; a later call connects again."""
        self._handle.close()

    async def read(self, act: Act[T]) -> T:
        """Run one query."""
        return self._run(Job(act, writes=False))

    async def write(self, act: Act[T], look: Act[T | None] | None = None) -> T:
        """Run a transaction, and return its answer when it is on the disk."""
        return self._run(Job(act, look, writes=True))

    def _run(self, job: Job[T]) -> T:
        self._handle.run([job])
        return job.result()


class Twin(BlockingSqliteLink):
    """A blocking link on the database of one that awaits."""

    def __init__(self, handle: Handle, watch: Watch) -> None:
        self._handle = handle
        self._watch = watch
