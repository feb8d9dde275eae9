"""Hear of tasks that have news, in code that awaits."""

import asyncio
import threading
from weakref import WeakKeyDictionary

from qcore.app.client.task_notifications import Board
from qcore.app.client.wakeup import Wakeup, first
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.ports import Clock, Notifier, Subscription, TasksChanged


class Following:
    """One subscription to each queue of which somebody waits for news, on each loop."""

    def __init__(self, broker: Notifier, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._lock = threading.Lock()
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Place]] = (
            WeakKeyDictionary()
        )

    async def of(self, queue: str, task: TaskId) -> "_Ear":
        """Return an ear that is in place."""
        loop = asyncio.get_running_loop()
        with self._lock:
            places = self._places.setdefault(loop, {})
            place = places.setdefault(queue, _Place())
        await place.open(self._broker, queue)
        return _Ear(place.board, task, Wakeup(loop), self._clock)

    async def close(self) -> None:
        """Hear no more on this loop; what was left on another ends with the broker."""
        with self._lock:
            places = self._places.pop(asyncio.get_running_loop(), {})
        for place in places.values():
            await place.close()


class _Place:
    """A queue that is subscribed to."""

    def __init__(self) -> None:
        self.board = Board()
        self._subscription: Subscription | None = None
        self._opening = asyncio.Lock()

    async def open(self, broker: Notifier, queue: str) -> None:
        """Subscribe; those who come meanwhile wait for the same subscription."""
        if self._subscription is None:
            async with self._opening:
                if self._subscription is None:
                    self._subscription = await broker.subscribe(
                        [queue], {TasksChanged}, self.board.notify
                    )

    async def close(self) -> None:
        async with self._opening:
            if self._subscription is not None:
                await self._subscription.close()
        self.board.wake_all()


class _Ear:
    """Wait for news of one task in a coroutine."""

    def __init__(self, board: Board, task: TaskId, nudge: Wakeup, clock: Clock) -> None:
        self._board = board
        self._task = task
        self._nudge = nudge
        self._clock = clock
        board.add(task, nudge)

    def forget(self) -> None:
        """Forget the news that came before."""
        self._nudge.forget()

    async def wait(self, until: Moment) -> None:
        """Wait for news, or until a moment."""
        await first(self._nudge.wait(), self._clock.sleep_until(until))

    def close(self) -> None:
        """Wait no more."""
        self._board.remove(self._task, self._nudge)
