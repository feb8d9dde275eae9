"""Notifications: what a subscriber of a broker is told, and how it stops being told."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeAlias

from qcore.domain.new_task import TaskId
from qcore.domain.record import record


@record
class WorkAvailable:
    """There may be something new to claim or to wait for, in any of the queues subscribed to."""


@record
class LeaseEnded:
    """An order has ended the lease of a task that was active."""

    queue: str
    token: int


@record
class TasksChanged:
    """Tasks of a queue have ended or got on."""

    queue: str
    ids: Sequence[TaskId]
    """Which; none where any of the queue may have."""


@record
class EntriesChanged:
    """Entries of periodic tasks of a queue were written."""

    queue: str


Notification: TypeAlias = WorkAvailable | LeaseEnded | TasksChanged | EntriesChanged
"""What a subscriber is told."""

Kinds: TypeAlias = Collection[
    type[WorkAvailable] | type[LeaseEnded] | type[TasksChanged] | type[EntriesChanged]
]
"""The notifications that a subscriber wants: some of the classes above."""

Notify: TypeAlias = Callable[[Notification], None]
"""A subscriber: what is to be called with each notification."""


class Subscription(Protocol):
    """What a subscriber has of the broker until it closes it."""

    async def close(self) -> None:
        """Stop; closing twice is closing once."""
        ...


class Notifier(Protocol):
    """What everybody needs who waits for something to happen at a broker."""

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        """Call `notify` with each notification of these kinds about these queues.

        - When an enqueue, a claim, a settle, a sweep, a restore or an operator's command gives one
          of these queues something pending where there was nothing, or an earlier moment at which
          something is due, `notify` is called with `WorkAvailable`: in the same process at once,
          from another process within the broker's own delay. What a claim gives is what it makes
          pending and leaves.
        - So it is when something begins to wait in a group that was empty, and when a task that was
          active, or a limit that was set, no longer keeps a queue from handing out what it has.
        - `WorkAvailable` may come from any thread, and once too often rather than once too few.
        - When a command ends the lease of an active task of these queues, `notify` is called with
          `LeaseEnded`, which has the queue and the lease's token: in the same process at once, from
          another process within the broker's own delay. It may come from any thread, of a lease
          that is somebody else's too, and after a disturbance not at all: then `extend` tells.
        - When a task of these queues is completed, archived or dead, by a verdict, a command or the
          time, or when its progress was saved, `notify` is called with `TasksChanged`, which has
          the queue and its id: in the same process at once, from another process within the
          broker's own delay.
        - `TasksChanged` may come with no ids, when any may have news, as after a disturbance; once
          too often; from any thread; and of a task that is gone not at all.
        - A notification of a kind that was not asked for is never given.
        - Where `notify` raises, the call that it was told of has succeeded all the same, and other
          subscribers are notified.
        - After `close`, `notify` is not called again.
        """
        ...
