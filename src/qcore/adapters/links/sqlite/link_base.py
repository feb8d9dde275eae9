"""What a link that awaits and one that blocks share."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from qcore.adapters.links.sqlite.connection import MEMORY, TIMEOUT, Handle
from qcore.adapters.links.sqlite.file_watcher import Ear, Watch, watch_of
from qcore.adapters.links.sqlite.interfaces import Prepare, Tx
from qcore.domain.new_task import TaskId
from qcore.ports import Lost, Told


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

    def tell(self, queues: Iterable[str]) -> None:
        """Call those in this process who listen for one of these queues."""
        self._watch.tell(queues)

    def tell_of_lost(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell those in this process who listen for a queue which leases were ended."""
        self._watch.tell_of_lost(queue, tokens)

    def tell_news(self, news: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell those in this process who follow these queues which tasks have news."""
        self._watch.tell_news(news)

    async def listen(
        self,
        queues: Iterable[str],
        heard: Callable[[], None],
        *,
        lost: Lost | None = None,
        told: Told | None = None,
        changed: Callable[[], None] | None = None,
    ) -> Ear:
        """Call `heard` after `tell`, and after any other connection has written to the file."""
        await self.open()
        ear = Ear(queues, heard, self._watch, lost=lost, told=told, changed=changed)
        self._watch.add(ear)
        return ear


def nothing(_: Tx) -> None:
    """Ask for nothing but a connection."""
