"""Wait until something changes, in code that blocks: whoever waits blocks its thread."""

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


class BlockingPause:
    """Blocks a thread until it is woken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = threading.Event()

    def wake(self) -> None:
        """End the wait, or the next one."""
        self._event.set()

    def clear(self) -> None:
        """Forget that it was woken."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Wait until it is woken, or so many seconds; a test's clock is moved by them."""
        now = self._clock.now()
        if seconds <= 0 or self._event.wait(min(seconds, CLOCK_PROBE)):
            return
        if self._clock.now() == now:
            # a manual clock moves when somebody sleeps on it
            await self._clock.sleep(seconds)
        else:
            self._event.wait(max(0.0, seconds - CLOCK_PROBE))


class BlockingPauses:
    """Callers that block: all threads share what they wait for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def scope(self) -> object:
        """Return what stands for all threads."""
        return self

    def pause(self) -> BlockingPause:
        """Return what one thread waits with."""
        return BlockingPause(self._clock)

    def lock(self) -> "ThreadLock":
        """Return a lock for threads."""
        return ThreadLock()


class ThreadLock:
    """A lock of threads for the coroutines that they step: it blocks, and never suspends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        """Wait for the lock, and take it."""
        self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        """Let it go."""
        self._lock.release()


class BlockingTaskWaiter(BlockingPause):
    """Waits for notifications of one task on a thread."""

    def __init__(self, waiters: WaiterRegistry, task: TaskId, clock: Clock) -> None:
        super().__init__(clock)
        self._waiters = waiters
        self._task = task
        waiters.add(task, self.wake)

    def close(self) -> None:
        """Stop waiting for this task."""
        self._waiters.remove(self._task, self.wake)
