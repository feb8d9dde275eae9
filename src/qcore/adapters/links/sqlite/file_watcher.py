"""Subscriptions to a file, and the thread that waits for writes of other processes.

SQLite has no notifications between processes. Of what qcore commits a `WriteSignal` tells. For what
others commit the thread polls `PRAGMA data_version`, which changes when another connection has
committed (sqlite.org/pragma.html#pragma_data_version). Of what this process writes, its subscribers
are told at once.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import RLock, Thread
from time import monotonic, sleep
from typing import Final
from weakref import WeakValueDictionary

from qcore.adapters.links.sqlite import exit_hooks, fork_safety
from qcore.adapters.links.sqlite.connection import ManagedConnection
from qcore.adapters.links.sqlite.interfaces import FindEnded, Tx
from qcore.adapters.links.sqlite.look_schedule import LookSchedule
from qcore.adapters.links.sqlite.write_signal import Told, WriteSignal
from qcore.domain.errors import BrokerUnusable
from qcore.domain.new_task import TaskId
from qcore.domain.queue_limits import Rate
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
LOCK_TIMEOUT: Final = 0.02
"""Seconds that a look waits for a lock on the file."""
FILE_CHECK_INTERVAL: Final = 0.9
"""Seconds between two checks whether the file, its log or `-notify` was removed or replaced: less
than from one idle look to the next, which notices it."""
RATE: Final = Rate(10, 0.2)
"""How often subscribers are notified of what others write, at most: to hear of each commit would
slow a busy worker."""
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
    """Notify subscribers of writes of this process, as it is told, and of others, as it hears.

    Without a path, for a database in memory, it hears of none: nobody else can write there.
    """

    def __init__(self, path: str | None = None) -> None:
        self._subscribers: tuple[Subscriber, ...] = ()
        self._thread: Thread | None = None
        self._version: int | None = None
        self._connection = None if path is None else ManagedConnection(path, timeout=LOCK_TIMEOUT)
        self.signal = None if path is None else WriteSignal(path)
        # the connection's lock: before a fork locks are taken in any order, so two could deadlock
        self.lock = RLock() if self._connection is None else self._connection.lock
        if self._connection is not None:
            self._connection.on_connect(self._forget_version)
        fork_safety.guard(self)

    def add(self, subscriber: Subscriber) -> None:
        """Notify a subscriber of what is written from now on; the first one starts the thread."""
        with self.lock:
            if self._thread is None and self._connection is not None and self.signal is not None:
                self.signal.listen()
                self._has_changed(self._connection)
                self._thread = Thread(
                    target=self._watch,
                    args=(self._connection, self.signal),
                    name=THREAD_NAME,
                    daemon=True,
                )
                self._thread.start()
            self._subscribers = (*self._subscribers, subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """End a subscription; the last one ends the thread."""
        with self.lock:
            self._subscribers = tuple(each for each in self._subscribers if each is not subscriber)
            if not self._subscribers and self.signal is not None:
                self.signal.interrupt()

    def tell_of_writing(self) -> None:
        """Tell other processes, and this one, that a caller's transaction has written."""
        if self.signal is not None:
            self.signal.tell_of_writing()

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
        if self.signal is not None:
            self.signal.reset_in_child()

    # --- writes of others ----------------------------------------------------------------------

    def _watch(self, connection: ManagedConnection, signal: WriteSignal) -> None:
        """Notify of what other processes write until nobody is subscribed."""
        schedule, next_check, full = LookSchedule(), 0.0, 0.0
        heard, known = 0, (0, 0)
        while self._is_wanted(signal):
            interval = schedule.next_interval(monotonic(), is_told=signal.is_listening)
            told, now = signal.wait(interval), monotonic()
            if is_news := told.has_committed and not told.will_commit:
                # without a look, which would put it off; the next one finds it once more
                heard += 1
                schedule.has_come()
            else:
                before, known = known, (signal.own, heard)
                is_news = self._look(connection, schedule, told, is_explained=known != before)
            if is_news:
                self._notify_all()
                full = RATE.after(full, now, 1)
                if (pause := max(RATE.next(full), signal.next_turn(now)) - now) > 0:
                    sleep(pause)
            if now >= next_check:
                # the next look then connects to the new file, which counts as a change
                connection.leave_moved_files()
                signal.listen()
                next_check = now + FILE_CHECK_INTERVAL
        connection.close()

    def _look(
        self,
        connection: ManagedConnection,
        schedule: LookSchedule,
        told: Told,
        *,
        is_explained: bool,
    ) -> bool:
        """Return whether to notify. What has changed is explained by commits that were told."""
        before, has_changed = self._version, self._has_changed(connection)
        if told.will_commit:
            schedule.expect(monotonic())
            return True
        if has_changed:
            schedule.has_come()
            if before is not None and not is_explained:
                schedule.untold(monotonic())
        return has_changed

    def _is_wanted(self, signal: WriteSignal) -> bool:
        """Return whether anybody is subscribed; else make way for a later thread."""
        with self.lock:
            if not self._subscribers:
                self._thread = None
                signal.leave()
            return self._thread is not None

    def _notify_all(self) -> None:
        for each in self._subscribers:
            for notification in each.on_foreign_write():
                self._notify(each, notification)

    def _has_changed(self, connection: ManagedConnection) -> bool:
        """Return whether another connection has written since the last look."""
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


@exit_hooks.register
def _leave_all() -> None:
    """Remove the files of those watchers whose thread the end of the process cuts short."""
    with _watchers_lock:
        for watcher in _watchers.values():
            if watcher.signal is not None:
                watcher.signal.leave()
