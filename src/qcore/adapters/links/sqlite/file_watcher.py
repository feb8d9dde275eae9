"""Who has subscribed at a file, and the thread that polls it while anybody has."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from threading import RLock, Thread, current_thread
from time import sleep
from typing import Final
from weakref import WeakValueDictionary

from qcore.adapters.links.sqlite import fork_safety
from qcore.adapters.links.sqlite.connection import Handle
from qcore.adapters.links.sqlite.interfaces import FindEnded, Tx
from qcore.domain.new_task import TaskId
from qcore.ports import Kinds, LeaseEnded, Notification, Notify, TasksChanged, WorkAvailable

NAME: Final = "qcore-sqlite-watch"
GLANCE: Final = 0.02
"""Seconds between two looks at the file, each of which costs up to 0.1 ms of processor time."""
CHECK: Final = 50
"""Looks between two at whether it is still the same file."""
WORK: Final = WorkAvailable()


class Subscriber:
    """A subscriber of some queues."""

    def __init__(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        watch: "Watch",
        *,
        find_ended: FindEnded | None = None,
    ) -> None:
        self.queues = frozenset(queues)
        self.kinds = frozenset(kinds)
        self.notify = notify
        self._find_ended = find_ended
        self._watch = watch

    def after_a_write(self) -> Iterator[Notification]:
        """Yield what there is to tell when another process has written, whatever it was."""
        if WorkAvailable in self.kinds:
            yield WORK
        if LeaseEnded in self.kinds and self._find_ended is not None:
            for lease in self._find_ended():
                if lease.queue in self.queues:
                    yield LeaseEnded(lease.queue, lease.token)
        if TasksChanged in self.kinds:
            for queue in self.queues:
                yield TasksChanged(queue, ())

    async def close(self) -> None:
        """Stop being told."""
        self._watch.remove(self)


class Watch:
    """Tell subscribers what this process has written, and that `data_version` shows another has."""

    def __init__(self, path: str | None = None) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()
        self._thread: Thread | None = None
        self._seen: int | None = None
        self._handle = None if path is None else Handle(path, timeout=GLANCE)
        # one lock for both: a fork waits for it in no particular order
        self.lock = RLock() if self._handle is None else self._handle.lock
        if self._handle is not None:
            self._handle.on_connect(self._lose_count)
        fork_safety.guard(self)

    def add(self, subscriber: Subscriber) -> None:
        """Tell a subscriber of what is written from now on."""
        with self.lock:
            if not self._subscribers and self._handle is not None:
                self._look(self._handle)
                self._thread = Thread(
                    target=self._look_on, args=(self._handle,), name=NAME, daemon=True
                )
                self._thread.start()
            self._subscribers = (*self._subscribers, subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Tell a subscriber no more; the last one stops the thread."""
        with self.lock:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)
            if not self._subscribers:
                self._thread = None

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Tell that queues have something new to claim or to wait for."""
        if self._subscribers:
            told = frozenset(queues)
            for each in self._subscribers:
                if WorkAvailable in each.kinds and not each.queues.isdisjoint(told):
                    self._notify(each, WORK)

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell of leases that an order has ended."""
        for each in self._subscribers:
            if LeaseEnded in each.kinds and queue in each.queues:
                for token in tokens:
                    self._notify(each, LeaseEnded(queue, token))

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell which tasks of which queues have ended or got on; with no ids, any may have."""
        for each in self._subscribers:
            if TasksChanged in each.kinds:
                for queue in each.queues.intersection(changed):
                    self._notify(each, TasksChanged(queue, changed[queue]))

    def _notify(self, subscriber: Subscriber, notification: Notification) -> None:
        # it may have been closed by what the one before it did
        if subscriber in self._subscribers:
            # what is written has not failed because one whose loop has ended wanted to be told
            with suppress(RuntimeError):
                subscriber.notify(notification)

    def close(self) -> None:
        """Do nothing: the handle lets go of its connection itself."""

    def forget(self) -> None:
        """Forget the parent's subscribers; its thread was not forked."""
        self._subscribers, self._thread = (), None

    def _look_on(self, handle: Handle) -> None:
        """Look at the file until nobody is subscribed, or another thread has taken over."""
        for glance in count(1):
            # costs half of what it costs to wait for an event
            sleep(GLANCE)
            if self._thread is not current_thread():
                break
            if glance % CHECK == 0:
                # the next look connects anew, and is told of
                handle.let_go_of_lost()
            if self._look(handle):
                for each in self._subscribers:
                    for notification in each.after_a_write():
                        self._notify(each, notification)
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
