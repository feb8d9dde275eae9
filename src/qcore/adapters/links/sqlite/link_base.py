"""`LinkBase`: what the awaiting and the blocking link share, all but how a transaction is run."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qcore.adapters.links.sqlite.connection import MEMORY, TIMEOUT, ManagedConnection
from qcore.adapters.links.sqlite.file_watcher import FileWatcher, Subscriber, watcher_of
from qcore.adapters.links.sqlite.interfaces import FindEnded, Merge, Prepare, Tx
from qcore.domain.errors import InvalidOption
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, Notify


class LinkBase:
    """A connection, and the watcher of its file.

    `path` names a file, or ":memory:"; `timeout` is how long to wait for another process's lock, in
    seconds; with `synchronous="normal"` a commit is cheaper, and a power cut may undo the last ones
    but never damages the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        timeout: float = TIMEOUT,
        synchronous: str = "full",
    ) -> None:
        name = os.fspath(path)
        if "\0" in name:
            raise InvalidOption(f"the path {name!r} has a NUL character: no file can have one")
        # a later `os.chdir` must not lead to a second file
        absolute = name if name == MEMORY else _absolute(name)
        self._connection = ManagedConnection(absolute, timeout, synchronous)
        is_file = self._connection.is_persistent
        self._watcher = watcher_of(self._connection.path) if is_file else FileWatcher()
        self._connection.signal = self._watcher.signal

    @property
    def is_persistent(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        return self._connection.is_persistent

    @property
    def path(self) -> str:
        """Return the path of the file, or ":memory:"."""
        return self._connection.path

    def on_connect(self, prepare: Prepare, merge: Merge | None = None) -> None:
        """Run `prepare` on each connection from now on, and `merge` after a log was lost."""
        self._connection.on_connect(prepare, merge)

    def never_make_file(self) -> None:
        """Raise `StoreMissing`, from now on, where there is no file: to look is not to make it."""
        # one in memory is made by whoever uses it
        self._connection.makes_file = not self._connection.is_persistent

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        raise NotImplementedError

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process that queues may have something new to claim."""
        self._watcher.tell_of_work(queues)

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell subscribers in this process which leases of a queue were ended."""
        self._watcher.tell_of_ended(queue, tokens)

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell subscribers in this process which tasks ended, or whose progress changed."""
        self._watcher.tell_of_tasks(changed)

    def tell_of_entries(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process of which queues entries were written."""
        self._watcher.tell_of_entries(queues)

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,
    ) -> Subscriber:
        """Notify of what is told here, and after each write of another connection."""
        await self.open()
        subscriber = Subscriber(queues, kinds, notify, self._watcher, find_ended=find_ended)
        self._watcher.add(subscriber)
        return subscriber


def no_op(_: Tx) -> None:
    """Do nothing: to run it connects."""


def _absolute(path: str) -> str:
    try:
        return str(Path(path).absolute())
    except OSError as error:
        raise InvalidOption(
            f"the path {path!r} is relative, and there is no working folder: {error.strerror}"
        ) from None
