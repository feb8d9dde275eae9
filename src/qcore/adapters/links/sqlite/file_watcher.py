"""Subscriptions to a file, and the thread that polls it for writes of other processes.

SQLite has no notifications between processes, but `PRAGMA data_version` changes when another
connection has committed (sqlite.org/pragma.html#pragma_data_version). What this process writes, its
subscribers are told at once.
"""

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
from qcore.adapters.links.sqlite.connection import ManagedConnection
from qcore.adapters.links.sqlite.interfaces import FindEnded, Tx
from qcore.domain.errors import BrokerUnusable
from qcore.domain.new_task import TaskId
from qcore.ports import (
    EntriesChanged,
    Kinds,
    LeaseEnded,
    Notification,
    Notify,
    TasksChanged,
    WorkAvailable,
)

THREAD_NAME: Final = "qcore-sqlite-watch"
POLL_INTERVAL: Final = 0.02
"""Seconds between two polls, each of which takes up to 0.1 ms of processor time."""
POLLS_PER_FILE_CHECK: Final = 5
"""Polls between two checks whether the file or its log was removed or replaced."""
WORK: Final = WorkAvailable()


class Subscriber:
    """A subscription to some kinds of notifications about some queues."""

    def __init__(
        self,
        queues: Iterable[str],
        kinds: Kinds,
        notify: Notify,
        watcher: "FileWatcher",
        *,
        find_ended: FindEnded | None = None,
    ) -> None:
        self.queues = frozenset(queues)
        self.kinds = frozenset(kinds)
        self.notify = notify
        self._find_ended = find_ended
        self._watcher = watcher

    def on_foreign_write(self) -> Iterator[Notification]:
        """Yield the notifications that are due when another connection has written anything."""
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
        """End the subscription."""
        self._watcher.remove(self)


class FileWatcher:
    """Notify subscribers of writes of this process, as it is told, and of others, as it polls.

    Without a path, for a database in memory, it does not poll: nobody else can write there.
    """

    def __init__(self, path: str | None = None) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()
        self._thread: Thread | None = None
        self._version: int | None = None
        self._connection = None if path is None else ManagedConnection(path, timeout=POLL_INTERVAL)
        # the connection's lock: before a fork locks are taken in any order, so two could deadlock
        self.lock = RLock() if self._connection is None else self._connection.lock
        if self._connection is not None:
            self._connection.on_connect(self._forget_version)
        fork_safety.guard(self)

    def add(self, subscriber: Subscriber) -> None:
        """Notify a subscriber of what is written from now on; the first one starts the thread."""
        with self.lock:
            if not self._subscribers and self._connection is not None:
                self._has_changed(self._connection)
                self._thread = Thread(
                    target=self._poll, args=(self._connection,), name=THREAD_NAME, daemon=True
                )
                self._thread.start()
            self._subscribers = (*self._subscribers, subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """End a subscription; the last one stops the thread."""
        with self.lock:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)
            if not self._subscribers:
                self._thread = None

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Notify that these queues may have something new to claim, or to wait for."""
        if self._subscribers:
            with_work = frozenset(queues)
            for each in self._subscribers:
                if WorkAvailable in each.kinds and not each.queues.isdisjoint(with_work):
                    self._notify(each, WORK)

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Notify of leases that a command has revoked."""
        for each in self._subscribers:
            if LeaseEnded in each.kinds and queue in each.queues:
                for token in tokens:
                    self._notify(each, LeaseEnded(queue, token))

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Notify of tasks that ended, or whose progress changed; no ids mean that any may have."""
        for each in self._subscribers:
            if TasksChanged in each.kinds:
                for queue in each.queues.intersection(changed):
                    self._notify(each, TasksChanged(queue, changed[queue]))

    def tell_of_entries(self, queues: Iterable[str]) -> None:
        """Notify of queues of which entries were written here; what others write is not told.

        Nearly all that they write is something else, and a scheduler would look in vain each time.
        """
        written = frozenset(queues)
        for each in self._subscribers:
            if EntriesChanged in each.kinds:
                for queue in each.queues & written:
                    self._notify(each, EntriesChanged(queue))

    def _notify(self, subscriber: Subscriber, notification: Notification) -> None:
        # the callback of the one before may have closed this one
        if subscriber in self._subscribers:
            # a subscriber whose event loop is closed raises; the write has succeeded all the same
            with suppress(Exception):
                subscriber.notify(notification)

    def disconnect(self) -> None:
        """Do nothing: the connection is closed before a fork by itself."""

    def reset_in_child(self) -> None:
        """Drop the parent's subscribers and its thread, which a fork does not copy."""
        self._subscribers, self._thread = (), None

    def _poll(self, connection: ManagedConnection) -> None:
        """Poll the file until nobody is subscribed, or a later subscriber has started a thread."""
        for poll in count(1):
            # half the processor time of waiting for an Event
            sleep(POLL_INTERVAL)
            if self._thread is not current_thread():
                break
            if poll % POLLS_PER_FILE_CHECK == 0:
                # the next poll then connects to the new file, which counts as a change
                connection.leave_moved_files()
            if self._has_changed(connection):
                for each in self._subscribers:
                    for notification in each.on_foreign_write():
                        self._notify(each, notification)
        connection.close()

    def _has_changed(self, connection: ManagedConnection) -> bool:
        """Return whether another connection has written since the last poll."""
        try:
            version = connection.data_version()
        except (sqlite3.Error, BrokerUnusable):
            # nothing can be claimed from a file that cannot be read; a claim raises why
            return False
        before, self._version = self._version, version
        return version != before

    def _forget_version(self, _: Tx) -> None:
        self._version = None


_watchers: Final[WeakValueDictionary[str, FileWatcher]] = WeakValueDictionary()
_watchers_lock: Final = RLock()


def watcher_of(path: str) -> FileWatcher:
    """Return this process's watcher of a file, which all links to it share."""
    key = os.path.realpath(path)
    with _watchers_lock:
        watcher = _watchers.get(key)
        if watcher is None:
            watcher = _watchers[key] = FileWatcher(path)
        return watcher
