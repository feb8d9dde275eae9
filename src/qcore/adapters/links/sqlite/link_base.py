"""What a link that awaits and one that blocks share."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qcore.adapters.links.sqlite.connection import MEMORY, TIMEOUT, Handle
from qcore.adapters.links.sqlite.file_watcher import Subscriber, Watch, watch_of
from qcore.adapters.links.sqlite.interfaces import FindEnded, Prepare, Tx
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, Notify


class Linked:
    """A handle and a watch.

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
        # the process may change its folder, and must not then write to a second file
        absolute = name if name == MEMORY else str(Path(name).absolute())
        self._handle = Handle(absolute, timeout, synchronous)
        self._watch = watch_of(self._handle.path) if self._handle.lasting else Watch()

    @property
    def lasting(self) -> bool:
        """Whether the database is a file: it outlives the process, and others may open it."""
        return self._handle.lasting

    @property
    def path(self) -> str:
        """Return where the file is, or what stands for a database in memory."""
        return self._handle.path

    def on_connect(self, prepare: Prepare) -> None:
        """Run `prepare` on each connection that is made from now on."""
        self._handle.on_connect(prepare)

    async def open(self) -> None:
        """Connect now rather than at the first call."""
        raise NotImplementedError

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell subscribers in this process that queues may have something new to claim."""
        self._watch.tell_of_work(queues)

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell subscribers in this process which leases of a queue were ended."""
        self._watch.tell_of_ended(queue, tokens)

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell subscribers in this process which tasks have ended or got on."""
        self._watch.tell_of_tasks(changed)

    async def subscribe(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        *,
        find_ended: FindEnded | None = None,
    ) -> Subscriber:
        """Notify of what is told, and of anything once another connection has written."""
        await self.open()
        subscriber = Subscriber(queues, kinds, notify, self._watch, find_ended=find_ended)
        self._watch.add(subscriber)
        return subscriber


def nothing(_: Tx) -> None:
    """Ask for nothing but a connection."""
