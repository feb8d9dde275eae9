"""Who listens at a file, and the thread that looks after it while anybody does."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from threading import RLock, Thread, current_thread
from time import sleep
from typing import Final
from weakref import WeakValueDictionary

from qcore.adapters.links.sqlite import fork_safety
from qcore.adapters.links.sqlite.connection import Handle
from qcore.adapters.links.sqlite.interfaces import Tx
from qcore.domain.new_task import TaskId
from qcore.ports import Lost, Told

NAME: Final = "qcore-sqlite-watch"
GLANCE: Final = 0.02
"""Seconds between two looks at the file, each of which costs up to 0.1 ms of processor time."""
CHECK: Final = 50
"""Looks between two at whether it is still the same file."""


class Ear:
    """A listener."""

    def __init__(
        self,
        queues: Iterable[str],
        heard: Callable[[], None],
        watch: "Watch",
        *,
        lost: Lost | None = None,
        told: Told | None = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.queues = frozenset(queues)
        self.heard = heard
        self.lost = lost
        """Told of leases that somebody in this process has ended."""
        self.told = told
        """Told of tasks that have news, by somebody in this process."""
        self.changed = changed
        """Called when another process has written, whatever it was."""
        self._watch = watch

    async def close(self) -> None:
        """Stop listening."""
        self._watch.remove(self)


class Watch:
    """Tell ears what this process says it did, and what `data_version` says another one did."""

    def __init__(self, path: str | None = None) -> None:
        self._ears: tuple[Ear, ...] = ()
        self._thread: Thread | None = None
        self._seen: int | None = None
        self._handle = None if path is None else Handle(path, timeout=GLANCE)
        # one lock for both: a fork waits for it in no particular order
        self.lock = RLock() if self._handle is None else self._handle.lock
        if self._handle is not None:
            self._handle.on_connect(self._lose_count)
        fork_safety.guard(self)

    def add(self, ear: Ear) -> None:
        """Let an ear hear what is written from now on."""
        with self.lock:
            if not self._ears and self._handle is not None:
                self._look(self._handle)
                self._thread = Thread(
                    target=self._look_on, args=(self._handle,), name=NAME, daemon=True
                )
                self._thread.start()
            self._ears = (*self._ears, ear)

    def remove(self, ear: Ear) -> None:
        """Let an ear hear no more; the last one stops the thread."""
        with self.lock:
            self._ears = tuple(other for other in self._ears if other is not ear)
            if not self._ears:
                self._thread = None

    def tell(self, queues: Iterable[str]) -> None:
        """Call the ears of these queues."""
        if self._ears:
            told = frozenset(queues)
            self._call(ear for ear in self._ears if not ear.queues.isdisjoint(told))

    def tell_of_lost(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell the ears of a queue which leases were ended."""
        for ear in self._ears:
            if ear.lost is not None and queue in ear.queues:
                with suppress(RuntimeError):
                    for token in tokens:
                        ear.lost(queue, token)

    def tell_news(self, news: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell the ears of queues which of their tasks have news; with none of them, any may."""
        for ear in self._ears:
            for queue in ear.queues.intersection(news):
                # it may have been closed meanwhile; and what is written has not failed because
                # somebody who wanted to hear of it has ended
                if ear.told is not None and ear in self._ears:
                    with suppress(RuntimeError):
                        ear.told(queue, news[queue])

    def _call(self, ears: Iterable[Ear], *, changed: bool = False) -> None:
        for ear in ears:
            # it may have been closed by what the one before it did
            if ear in self._ears:
                # and one whose loop has ended must not deafen the others
                with suppress(RuntimeError):
                    ear.heard()
                    if changed and ear.changed is not None:
                        ear.changed()

    def close(self) -> None:
        """Do nothing: the handle lets go of its connection itself."""

    def forget(self) -> None:
        """Forget the parent's ears; its thread was not forked."""
        self._ears, self._thread = (), None

    def _look_on(self, handle: Handle) -> None:
        """Look at the file until nobody listens, or another thread has taken over."""
        for glance in count(1):
            # costs half of what it costs to wait for an event
            sleep(GLANCE)
            if self._thread is not current_thread():
                break
            if glance % CHECK == 0:
                # the next look connects anew, and is heard
                handle.let_go_of_lost()
            if self._look(handle):
                self._call(self._ears, changed=True)
        handle.close()

    def _look(self, handle: Handle) -> bool:
        """Return whether the file may have changed since the last look."""
        try:
            version = handle.version()
        except sqlite3.Error:
            # a file that cannot be read has nothing to claim; who tries to will be told why
            return False
        before, self._seen = self._seen, version
        return version != before

    def _lose_count(self, _: Tx) -> None:
        self._seen = None


_watches: Final[WeakValueDictionary[str, Watch]] = WeakValueDictionary()
_finding: Final = RLock()


def watch_of(path: str) -> Watch:
    """Return this process's watch over a file; every link to it shares the one."""
    key = os.path.realpath(path)
    with _finding:
        watch = _watches.get(key)
        if watch is None:
            watch = _watches[key] = Watch(path)
        return watch
