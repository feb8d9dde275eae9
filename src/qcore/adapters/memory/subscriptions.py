"""Subscriptions to the memory broker's notifications."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

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

WORK: Final = WorkAvailable()


class Subscribers:
    """All subscribers of one broker."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def add(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> "Subscriber":
        """Return a new subscriber, notified from now on until it is closed."""
        subscriber = Subscriber(frozenset(queues), frozenset(kinds), notify, self._subscribers)
        self._subscribers.append(subscriber)
        return subscriber

    def tell_of_work(self, queues: Iterable[str]) -> None:
        """Notify that these queues may have something new to claim, or to wait for."""
        for each in tuple(self._subscribers):
            if WorkAvailable in each.kinds and not each.queues.isdisjoint(queues):
                each.tell(WORK)

    def tell_of_ended(self, queue: str, tokens: Sequence[int]) -> None:
        """Notify of leases that a command has revoked."""
        for each in tuple(self._subscribers):
            if LeaseEnded in each.kinds and queue in each.queues:
                for token in tokens:
                    each.tell(LeaseEnded(queue, token))

    def tell_of_entries(self, queues: Iterable[str]) -> None:
        """Notify of queues of which entries were written."""
        for each in tuple(self._subscribers):
            if EntriesChanged in each.kinds:
                for queue in each.queues.intersection(queues):
                    each.tell(EntriesChanged(queue))

    def tell_of_tasks(self, changed: Mapping[str, Sequence[TaskId]]) -> None:
        """Notify of tasks that ended, or whose progress changed."""
        for each in tuple(self._subscribers):
            if TasksChanged in each.kinds:
                for queue in each.queues.intersection(changed):
                    each.tell(TasksChanged(queue, changed[queue]))


class Subscriber:
    """A subscription to some kinds of notifications about some queues."""

    def __init__(
        self,
        queues: frozenset[str],
        kinds: frozenset[type],
        notify: Notify,
        among: "list[Subscriber]",
    ) -> None:
        self.queues = queues
        self.kinds = kinds
        self.notify = notify
        self._among = among

    def tell(self, notification: Notification) -> None:
        """Call the subscriber; what it raises, as where its event loop is closed, is its own."""
        with suppress(Exception):
            self.notify(notification)

    async def close(self) -> None:
        """End the subscription."""
        if self in self._among:
            self._among.remove(self)
