"""Wait until a task changes, in code that awaits: whoever waits suspends its coroutine."""

import asyncio
import threading
from weakref import WeakKeyDictionary

from qcore.app.client.task_notifications import WaiterRegistry
from qcore.app.client.wakeup import Wakeup, first_completed
from qcore.domain.new_task import TaskId
from qcore.ports import Clock, Notifier, Subscription, TasksChanged


class AsyncTaskNotifications:
    """One subscription to each queue of which somebody waits for a task, on each event loop."""

    def __init__(self, broker: Notifier, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._lock = threading.Lock()
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _QueueWaiters]] = (
            WeakKeyDictionary()
        )

    async def waiter(self, queue: str, task: TaskId) -> "AsyncTaskWaiter":
        """Return a waiter that is subscribed."""
        loop = asyncio.get_running_loop()
        with self._lock:
            queues = self._by_loop.setdefault(loop, {})
            waiters = queues.setdefault(queue, _QueueWaiters())
        await waiters.subscribe(self._broker, queue)
        return AsyncTaskWaiter(waiters.registry, task, Wakeup(loop), self._clock)

    async def close(self) -> None:
        """Unsubscribe on this loop; the subscriptions of another loop end with the broker."""
        with self._lock:
            queues = self._by_loop.pop(asyncio.get_running_loop(), {})
        for waiters in queues.values():
            await waiters.close()


class _QueueWaiters:
    """Those who wait for tasks of one queue, and the subscription that they share."""

    def __init__(self) -> None:
        self.registry = WaiterRegistry()
        self._subscription: Subscription | None = None
        self._lock = asyncio.Lock()

    async def subscribe(self, broker: Notifier, queue: str) -> None:
        """Subscribe, unless that was done; those who come meanwhile wait for it."""
        if self._subscription is None:
            async with self._lock:
                if self._subscription is None:
                    self._subscription = await broker.subscribe(
                        [queue], {TasksChanged}, self.registry.notify
                    )

    async def close(self) -> None:
        async with self._lock:
            if self._subscription is not None:
                await self._subscription.close()
        self.registry.wake_all()


class AsyncTaskWaiter:
    """Waits for notifications of one task in a coroutine."""

    def __init__(self, waiters: WaiterRegistry, task: TaskId, wakeup: Wakeup, clock: Clock) -> None:
        self._waiters = waiters
        self._task = task
        self._wakeup = wakeup
        self._clock = clock
        waiters.add(task, wakeup)

    def clear(self) -> None:
        """Drop what was notified so far."""
        self._wakeup.clear()

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, or so many seconds."""
        await first_completed(self._wakeup.wait(), self._clock.sleep(seconds))

    def close(self) -> None:
        """Stop waiting for this task."""
        self._waiters.remove(self._task, self._wakeup)
