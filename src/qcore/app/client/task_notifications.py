"""Wait until a task changes: what a handle asks of its client, and who is woken for which task.

A client subscribes to each queue once, and shares that subscription between all who wait for tasks
of it. How one waits is the colour's: `async_notifications` suspends a coroutine,
`blocking_notifications` blocks a thread.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from qcore.domain.new_task import TaskId
from qcore.ports import Notification, TasksChanged


class TaskWaiter(Protocol):
    """Waits for notifications of one task."""

    def clear(self) -> None:
        """Drop what was notified so far: call it before the task is read."""
        ...

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, or so many seconds."""
        ...

    def close(self) -> None:
        """Stop waiting for this task."""
        ...


class TaskNotifications(Protocol):
    """The notifications of a client's tasks."""

    async def waiter(self, queue: str, task: TaskId) -> TaskWaiter:
        """Return a waiter that is subscribed: no change from now on is missed."""
        ...

    async def close(self) -> None:
        """Unsubscribe; those who wait are woken once, and poll from then on."""
        ...


class WaiterRegistry:
    """Who is to be woken for which task of a queue. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakeups: dict[TaskId, list[Callable[[], None]]] = {}

    def notify(self, notification: Notification) -> None:
        """Wake those who wait for the tasks that have changed; without ids any may have: all."""
        if isinstance(notification, TasksChanged):
            self._wake(notification.ids)

    def wake_all(self) -> None:
        """Wake all who wait for any task."""
        self._wake(())

    def _wake(self, tasks: Sequence[TaskId]) -> None:
        with self._lock:
            named = tasks or tuple(self._wakeups)
            wakeups = [wakeup for task in named for wakeup in self._wakeups.get(task, ())]
        for wakeup in wakeups:
            wakeup()

    def add(self, task: TaskId, wakeup: Callable[[], None]) -> None:
        """Call `wakeup` whenever a task has changed."""
        with self._lock:
            self._wakeups.setdefault(task, []).append(wakeup)

    def remove(self, task: TaskId, wakeup: Callable[[], None]) -> None:
        """Stop calling it."""
        with self._lock:
            wakeups = self._wakeups[task]
            wakeups.remove(wakeup)
            if not wakeups:
                del self._wakeups[task]
