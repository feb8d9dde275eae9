"""Wait until something changes, in code that awaits: whoever waits suspends its coroutine."""

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
        return AsyncTaskWaiter(waiters.registry, task, self._clock)

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


class AsyncPause:
    """Suspends a coroutine until it is woken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wake = Wakeup(asyncio.get_running_loop())

    def clear(self) -> None:
        """Forget that it was woken."""
        self.wake.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until it is woken, or so many seconds."""
        await first_completed(self.wake.wait(), self._clock.sleep(seconds))


class AsyncPauses:
    """Callers that await: those on one event loop share what they wait for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def scope(self) -> object:
        """Return the event loop."""
        return asyncio.get_running_loop()

    def pause(self) -> AsyncPause:
        """Return what one coroutine waits with."""
        return AsyncPause(self._clock)

    def lock(self) -> asyncio.Lock:
        """Return a lock for coroutines of one event loop."""
        return asyncio.Lock()


class AsyncTaskWaiter(AsyncPause):
    """Waits for notifications of one task in a coroutine."""

    def __init__(self, waiters: WaiterRegistry, task: TaskId, clock: Clock) -> None:
        super().__init__(clock)
        self._waiters = waiters
        self._task = task
        waiters.add(task, self.wake)

    def close(self) -> None:
        """Stop waiting for this task."""
        self._waiters.remove(self._task, self.wake)
