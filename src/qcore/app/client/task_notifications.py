"""Hear of tasks that have news: one ear of a client at each queue, shared by all who wait there."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.ports import Clock, Notification, Notifier, Subscription, TasksChanged

GLANCE: Final = 0.001
"""Real seconds in which a clock that goes at all has gone on."""


class Ear(Protocol):
    """One who waits for news of one task."""

    def forget(self) -> None:
        """Forget the news that came before: what comes next is to be looked at now."""
        ...

    async def wait(self, until: Moment) -> None:
        """Wait for news, or until a moment."""
        ...

    def close(self) -> None:
        """Wait no more."""
        ...


class News(Protocol):
    """Where a client hears of its tasks."""

    async def of(self, queue: str, task: TaskId) -> Ear:
        """Return an ear that is in place: what happens from now on it hears of."""
        ...

    async def close(self) -> None:
        """Hear no more; those who wait look again, and then every so often."""
        ...


class Board:
    """Who is to be woken for which task of a queue. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[TaskId, list[Callable[[], None]]] = {}

    def notify(self, notification: Notification) -> None:
        """Wake those who wait for the tasks that have changed; where any may have, all."""
        if isinstance(notification, TasksChanged):
            self._wake(notification.ids)

    def wake_all(self) -> None:
        """Wake all who wait for any task."""
        self._wake(())

    def _wake(self, tasks: Sequence[TaskId]) -> None:
        with self._lock:
            named = tasks or tuple(self._calls)
            calls = [call for task in named for call in self._calls.get(task, ())]
        for call in calls:
            call()

    def add(self, task: TaskId, call: Callable[[], None]) -> None:
        """Have `call` called when a task has news."""
        with self._lock:
            self._calls.setdefault(task, []).append(call)

    def remove(self, task: TaskId, call: Callable[[], None]) -> None:
        """Call it no more."""
        with self._lock:
            calls = self._calls[task]
            calls.remove(call)
            if not calls:
                del self._calls[task]


class BlockingNews:
    """Hear of tasks in code that blocks: whoever waits blocks its thread."""

    def __init__(self, broker: Notifier, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Board, Subscription]] = {}

    async def of(self, queue: str, task: TaskId) -> "BlockingEar":
        """Return an ear that is in place."""
        # to subscribe takes a while: those who come meanwhile wait for the same subscription
        with self._lock:
            if queue not in self._places:
                board = Board()
                self._places[queue] = (
                    board,
                    await self._broker.subscribe([queue], {TasksChanged}, board.notify),
                )
            board, _ = self._places[queue]
        return BlockingEar(board, task, self._clock)

    async def close(self) -> None:
        """Hear no more."""
        with self._lock:
            places = list(self._places.values())
            self._places.clear()
        for board, subscription in places:
            await subscription.close()
            board.wake_all()


class BlockingEar:
    """Wait for news of one task on a thread."""

    def __init__(self, board: Board, task: TaskId, clock: Clock) -> None:
        self._board = board
        self._task = task
        self._clock = clock
        self._event = threading.Event()
        board.add(task, self._event.set)

    def forget(self) -> None:
        """Forget the news that came before."""
        self._event.clear()

    async def wait(self, until: Moment) -> None:
        """Wait for news, or until a moment; a clock that stands still is moved there."""
        now = self._clock.now()
        if until <= now or self._event.wait(min(until - now, GLANCE)):
            return
        if self._clock.now() == now:
            # as in a test: such a clock is moved by who sleeps on it
            await self._clock.sleep_until(until)
        else:
            self._event.wait(max(0.0, until - self._clock.now()))

    def close(self) -> None:
        """Wait no more."""
        self._board.remove(self._task, self._event.set)
