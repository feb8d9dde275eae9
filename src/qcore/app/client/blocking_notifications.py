"""Wait until a task changes, in code that blocks: whoever waits blocks its thread."""

import threading
from typing import Final

from qcore.app.client.task_notifications import WaiterRegistry
from qcore.domain.new_task import TaskId
from qcore.ports import Clock, Notifier, Subscription, TasksChanged

CLOCK_PROBE: Final = 0.001
"""Real seconds after which any clock that runs has moved on; one that has not is a test's."""


class BlockingTaskNotifications:
    """One subscription to each queue of which some thread waits for a task."""

    def __init__(self, broker: Notifier, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._lock = threading.Lock()
        self._subscriptions: dict[str, tuple[WaiterRegistry, Subscription]] = {}

    async def waiter(self, queue: str, task: TaskId) -> "BlockingTaskWaiter":
        """Return a waiter that is subscribed."""
        # held while it subscribes: threads that come meanwhile share the subscription
        with self._lock:
            if queue not in self._subscriptions:
                waiters = WaiterRegistry()
                self._subscriptions[queue] = (
                    waiters,
                    await self._broker.subscribe([queue], {TasksChanged}, waiters.notify),
                )
            waiters, _ = self._subscriptions[queue]
        return BlockingTaskWaiter(waiters, task, self._clock)

    async def close(self) -> None:
        """Unsubscribe, and wake all who wait."""
        with self._lock:
            subscriptions = list(self._subscriptions.values())
            self._subscriptions.clear()
        for waiters, subscription in subscriptions:
            await subscription.close()
            waiters.wake_all()


class BlockingTaskWaiter:
    """Waits for notifications of one task on a thread."""

    def __init__(self, waiters: WaiterRegistry, task: TaskId, clock: Clock) -> None:
        self._waiters = waiters
        self._task = task
        self._clock = clock
        self._event = threading.Event()
        waiters.add(task, self._event.set)

    def clear(self) -> None:
        """Drop what was notified so far."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, or so many seconds; a test's clock is moved by them."""
        now = self._clock.now()
        if seconds <= 0 or self._event.wait(min(seconds, CLOCK_PROBE)):
            return
        if self._clock.now() == now:
            # a manual clock moves when somebody sleeps on it
            await self._clock.sleep(seconds)
        else:
            self._event.wait(max(0.0, seconds - CLOCK_PROBE))

    def close(self) -> None:
        """Stop waiting for this task."""
        self._waiters.remove(self._task, self._event.set)
