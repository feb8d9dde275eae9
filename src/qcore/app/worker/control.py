"""What a worker was asked to do while it runs: stop, stop at once, pause, resume."""

import asyncio
from collections.abc import Callable
from typing import Any

from qcore.ports import Clock


class WorkerControl:
    """Hold the latest request, and wake the loops that have to act on it.

    Written by `Worker.stop`, `pause` and `resume`, on the worker's event loop; read by the claim
    loop, the group scheduler and the shutdown.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wake: tuple[Callable[[], None], ...] = ()
        self.stopping = asyncio.Event()
        """Set once nothing more is to be claimed."""
        self.stopping_at_once = asyncio.Event()
        """Set once there is no grace for what runs."""
        self._stop_requested_at: float | None = None
        """By the monotonic clock."""
        self.is_paused = False
        self.task: asyncio.Task[Any] | None = None
        """The task in which `Worker.run` works."""

    @property
    def is_cancelled(self) -> bool:
        """Whether `Worker.run` is being cancelled.

        A program that ends cancels all of its tasks at once, as `asyncio.run` does: not only this
        one, but also those in which the worker runs handlers.
        """
        return self.task is not None and self.task.cancelling() > 0

    def rest_of(self, grace: float) -> float:
        """Return how many seconds are left of a grace that began when a stop was first requested.

        All of it if none was requested.
        """
        if self._stop_requested_at is None:
            return grace
        return max(0.0, self._stop_requested_at + grace - self._clock.monotonic())

    def wake_with(self, *wake: Callable[[], None]) -> None:
        """Call these after each request, in place of those of an earlier run."""
        self._wake = wake

    def stop(self, *, at_once: bool = False) -> None:
        """Ask to stop; the grace counts from the first such request."""
        if not self.stopping.is_set():
            self._stop_requested_at = self._clock.monotonic()
            self.stopping.set()
        if at_once:
            self.stopping_at_once.set()
        self._changed()

    def pause(self) -> None:
        """Ask to claim no more for now."""
        self.is_paused = True

    def resume(self) -> None:
        """Ask to claim again."""
        self.is_paused = False
        self._changed()

    def reset(self) -> None:
        """Forget that the worker was asked to stop: it may run again."""
        self.stopping.clear()
        self.stopping_at_once.clear()
        self._stop_requested_at = None

    def _changed(self) -> None:
        for wake in self._wake:
            wake()
