"""Repeat a call to a broker that is unavailable until it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from qcore.app.client.wakeup import first_completed
from qcore.app.worker.instruments import Instruments
from qcore.domain.backoff import Exponential
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.events import BrokerFailed, BrokerRecovered
from qcore.domain.retry import Dice
from qcore.ports import Clock

T = TypeVar("T")

SHORTEST_PAUSE: Final = 0.05
"""Seconds; without it full jitter may choose a pause of nothing."""
BACKOFF: Final = Exponential(base=0.1, cap=5.0)


class GaveUp(Exception):
    """Say that a call has failed, and that its time for further attempts is over."""


class Retrying:
    """Repeat calls with exponential backoff and jitter, so that workers do not return all at once.

    A call is repeated whatever it raises. Each failure is reported as `BrokerFailed`, with the
    pause that follows, and the first answer after failures as `BrokerRecovered`.
    """

    def __init__(self, clock: Clock, dice: Dice, emit: Instruments) -> None:
        self._clock = clock
        self._dice = dice
        self._emit = emit

    async def call(
        self,
        name: str,
        call: Callable[[], Awaitable[T]],
        *,
        give_up_at: Callable[[], float] | None = None,
        stop: asyncio.Event | None = None,
    ) -> T:
        """Return what `call` returns once it does; `name` stands for it in the events.

        Raises `GaveUp` after a failure if the next attempt would be later than `give_up_at()`, by
        the monotonic clock, or if `stop` is set.
        """
        failures = 0
        while True:
            try:
                answer = await call()
            except asyncio.CancelledError:
                if _is_cancelled_by_us():
                    raise
                error: Exception = BrokerUnavailable("its driver cancelled the call")
            except Exception as raised:  # noqa: BLE001  (no error of a broker's ends a worker)
                error = raised
            else:
                if failures:
                    self._emit(BrokerRecovered(name, failures))
                return answer
            pause = max(SHORTEST_PAUSE, BACKOFF(failures, self._dice()))
            failures += 1
            self._emit(BrokerFailed(name, error, pause))
            await self._pause(pause, give_up_at, stop)

    async def _pause(
        self, seconds: float, give_up_at: Callable[[], float] | None, stop: asyncio.Event | None
    ) -> None:
        if give_up_at is not None and self._clock.monotonic() + seconds > give_up_at():
            raise GaveUp
        if stop is None:
            await self._clock.sleep(seconds)
            return
        await first_completed(self._clock.sleep(seconds), stop.wait())
        if stop.is_set():
            raise GaveUp


def _is_cancelled_by_us() -> bool:
    """Return whether this task is cancelled; else a driver has cancelled what it awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
