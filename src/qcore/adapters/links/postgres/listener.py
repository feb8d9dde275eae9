"""Listening: one connection and one thread for all who subscribe in this process.

A notification that a process sends reaches its own subscribers without the server. What others
send is heard over LISTEN, on the channels of those kinds alone that somebody wants. It may be lost:
with the connection, or where a process ended between its commit and its NOTIFY. So subscribers are
told to look whenever the listener has connected, and every few seconds besides; where LISTEN does
not work, as a pooler gives each transaction another session, every quarter of a second.
"""

import os
import socket
import threading
from collections.abc import Callable, Collection, Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from random import SystemRandom
from time import monotonic
from typing import Any, Final
from weakref import WeakValueDictionary

from psycopg import Connection, Error

from qcore.adapters.links.postgres.notes import KINDS, Work, channel, decoded
from qcore.adapters.links.postgres.sessions import literal
from qcore.domain.text import traceback_of
from qcore.log.logger import get_logger
from qcore.ports import (
    EntriesChanged,
    Kinds,
    Notification,
    Notify,
    TasksChanged,
    WorkAvailable,
)

THREAD_NAME: Final = "qcore-postgres-listener"
LOOK_EVERY: Final = 2.0
"""Seconds between two looks where LISTEN works."""
LOOK_WITHOUT: Final = 0.25
"""Seconds between two looks where it does not."""
FIRST_PAUSE: Final = 0.05
MAX_PAUSE: Final = 2.0
WORK: Final = WorkAvailable()

ConnectListener = Callable[[], "Connection[Any] | None"]
"""Connects; returns None where LISTEN does not work."""


class Subscriber:
    """A subscription to some kinds of notifications about some queues."""

    def __init__(
        self, queues: Collection[str], kinds: Kinds, notify: Notify, hub: "ListenerHub"
    ) -> None:
        self.queues = frozenset(queues)
        self.kinds = frozenset(kinds)
        self._notify = notify
        self._hub = hub
        self.is_closed = False
        self._has_failed = False

    def start(self) -> "Future[Exception | None]":
        """Be told from now on; return what is done once the subscriber is listened for."""
        return self._hub.add(self)

    def wants(self, note: Notification | Work) -> bool:
        """Return whether this is to be told."""
        if isinstance(note, Work):
            return WorkAvailable in self.kinds and note.queue in self.queues
        if isinstance(note, WorkAvailable):
            return WorkAvailable in self.kinds
        return type(note) in self.kinds and note.queue in self.queues

    def tell(self, note: Notification | Work) -> None:
        """Call back; what that raises is logged once in a row, and concerns nobody else."""
        if self.is_closed:
            return
        try:
            self._notify(WORK if isinstance(note, Work) else note)
        except Exception as error:  # noqa: BLE001  (a callback is not ours)
            if not self._has_failed:
                self._has_failed = True
                with suppress(Exception):
                    # as text: a renderer that is given the error may show variables of each frame
                    get_logger().error(
                        "callback of a Postgres listener failed", stack=traceback_of(error)
                    )
        else:
            self._has_failed = False

    def tell_to_look(self) -> None:
        """Tell of all that may have been missed."""
        if WorkAvailable in self.kinds:
            self.tell(WORK)
        for queue in self.queues:
            if TasksChanged in self.kinds:
                self.tell(TasksChanged(queue, ()))
            if EntriesChanged in self.kinds:
                self.tell(EntriesChanged(queue))

    async def close(self) -> None:
        """End the subscription."""
        self.is_closed = True
        self._hub.remove(self)


class ListenerHub:
    """The subscribers of this process to one database and schema."""

    def __init__(self, connect: ConnectListener, schema: str, shown: str) -> None:
        self._connect = connect
        self._schema = schema
        self._shown = shown
        self._lock = threading.Lock()
        self._subscribers: list[Subscriber] = []
        self._thread: _ListenerThread | None = None

    def add(self, subscriber: Subscriber) -> "Future[Exception | None]":
        """Tell a subscriber from now on; return what is done once it is listened for.

        That has the error for which it is not.
        """
        with self._lock:
            self._subscribers.append(subscriber)
            if self._thread is None or not self._thread.is_alive():
                self._thread = _ListenerThread(self, self._connect, self._shown)
                self._thread.start()
            return self._thread.heard()

    def remove(self, subscriber: Subscriber) -> None:
        """Tell it no more; the last one to leave ends the listening."""
        with self._lock:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)
            if not self._subscribers and self._thread is not None:
                self._thread.stop()
                self._thread = None

    @property
    def subscribers(self) -> list[Subscriber]:
        """Return those that are told."""
        with self._lock:
            return list(self._subscribers)

    def channels(self) -> set[str]:
        """Return the channels on which something comes that somebody wants."""
        kinds = {kind for each in self.subscribers for kind in each.kinds}
        return {channel(self._schema, name) for name, kind in KINDS.items() if kind in kinds}

    def tell(self, notes: Iterable[Notification | Work]) -> None:
        """Tell those who want to know."""
        if not self._subscribers:
            return
        subscribers = self.subscribers
        for note in dict.fromkeys(notes):
            for each in subscribers:
                if each.wants(note):
                    each.tell(note)

    def tell_to_look(self) -> None:
        """Tell all of what may have been missed."""
        for each in self.subscribers:
            each.tell_to_look()

    def renew(self) -> None:
        """Connect anew, wherever messages are by now; from any thread."""
        with self._lock:
            if self._thread is not None:
                self._thread.renew()


class _ListenerThread(threading.Thread):
    """Listens, and looks every now and then, until it is stopped."""

    def __init__(self, hub: ListenerHub, connect: ConnectListener, shown: str) -> None:
        super().__init__(name=THREAD_NAME, daemon=True)
        self._hub = hub
        self._connect = connect
        self._shown = shown
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)  # noqa: FBT003  (its only argument)
        self._lock = threading.Lock()
        self._waiting: list[Future[Exception | None]] = []
        self._is_stopped = self._is_renewed = self._is_listening = False
        self._failure: type[Exception] | None = None

    def heard(self) -> "Future[Exception | None]":
        """Return what is done once all that is wanted by now is listened for."""
        future: Future[Exception | None] = Future()
        with self._lock:
            self._waiting.append(future)
        self._wake()
        return future

    def stop(self) -> None:
        """Have it end."""
        self._is_stopped = True
        self._wake()

    def renew(self) -> None:
        """Have it connect anew, unless it does: then it is not to try again any earlier."""
        if self._is_listening:
            self._is_renewed = True
            self._wake()

    def _wake(self) -> None:
        # a full pipe wakes it as well; one that is closed belongs to a thread that has ended
        with suppress(OSError):
            self._waker.send(b"\0")

    def run(self) -> None:
        """Listen; no error ends it: whoever waits would wait for ever, and not know."""
        failures = 0
        try:
            while not self._is_stopped:
                try:
                    self._is_renewed = False
                    self._serve()
                    failures = 0
                except Exception as error:  # noqa: BLE001  (for what the docstring says)
                    if self._failure is not type(error):
                        self._log(error)
                    failures = 0 if self._failure is None else failures + 1
                    self._failure = type(error)
                    self._answer(error)
                    seconds = min(MAX_PAUSE, FIRST_PAUSE * 2**failures)
                    self._pause(seconds * SystemRandom().uniform(0.5, 1.0))
        finally:
            self._answer(None)
            self._waker.close()
            self._woken.close()

    def _serve(self) -> None:
        connection = self._connect()
        if connection is None:
            self._look()
            return
        with connection, self._listening():
            listening: set[str] = set()
            while not (self._is_stopped or self._is_renewed):
                wanted = self._hub.channels()
                for name in wanted - listening:
                    connection.execute(literal(f'LISTEN "{name}"'))
                for name in listening - wanted:
                    connection.execute(literal(f'UNLISTEN "{name}"'))
                if wanted - listening:
                    self._hub.tell_to_look()
                listening = wanted
                self._failure = None
                self._answer(None)
                self._receive(connection)

    @contextmanager
    def _listening(self) -> Generator[None]:
        self._is_listening = True
        try:
            yield
        finally:
            self._is_listening = False

    def _receive(self, connection: "Connection[Any]") -> None:
        """Pass on what arrives until this thread is woken."""
        look_at = monotonic() + LOOK_EVERY
        while True:
            seconds = max(0.0, look_at - monotonic())
            ready = wait([connection.fileno(), self._woken], seconds)
            # all that there is: leaving the loop over it earlier would lose the rest
            notes = [
                decoded(each.channel.rpartition(".")[2], each.payload)
                for each in connection.notifies(timeout=0)
            ]
            self._hub.tell([note for note in notes if note is not None])
            if self._woken in ready:
                self._woken.recv(4_096)
                return
            if monotonic() >= look_at:
                self._hub.tell_to_look()
                look_at = monotonic() + LOOK_EVERY

    def _look(self) -> None:
        while not (self._is_stopped or self._is_renewed):
            self._answer(None)
            self._failure = None
            self._hub.tell_to_look()
            self._pause(LOOK_WITHOUT)

    def _pause(self, seconds: float) -> None:
        if wait([self._woken], seconds):
            self._woken.recv(4_096)

    def _answer(self, error: Exception | None) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.cancelled():
                each.set_result(error)

    def _log(self, error: Exception) -> None:
        # the processors of a log are not ours either
        with suppress(Exception):
            log = get_logger().bind(server=self._shown)
            if isinstance(error, Error | OSError):
                log.warning("Postgres listener reconnects", error=" ".join(str(error).split()))
            else:
                log.error("Postgres listener reconnects", stack=traceback_of(error))


_hubs: Final[WeakValueDictionary[tuple[Any, ...], ListenerHub]] = WeakValueDictionary()
_hubs_lock: Final = threading.Lock()


def hub_of(key: tuple[Any, ...], connect: ConnectListener, schema: str, shown: str) -> ListenerHub:
    """Return the one of this process; a forked child has others."""
    with _hubs_lock:
        own = (os.getpid(), *key)
        hub = _hubs.get(own)
        if hub is None:
            hub = _hubs[own] = ListenerHub(connect, schema, shown)
        return hub
