"""Call a broker that may be away until it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from qcore.app.client.wakeup import first
from qcore.app.worker.instruments import Instruments
from qcore.domain.backoff import Exponential
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.events import BrokerFailed, BrokerRecovered
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Clock

T = TypeVar("T")

LEAST_PAUSE: Final = 0.05
CURVE: Final = Exponential(base=0.1, cap=5.0)


class GaveUp(Exception):
    """Say that the time for trying is over."""


class Retrying:
    """Try again with growing, jittered pauses, so that many workers do not come back at once."""

    def __init__(self, clock: Clock, dice: Dice, emit: Instruments) -> None:
        self._clock = clock
        self._dice = dice
        self._emit = emit

    async def call(
        self,
        name: str,
        call: Callable[[], Awaitable[T]],
        *,
        until: Callable[[], Moment] | None = None,
        unless: asyncio.Event | None = None,
    ) -> T:
        """Return what `call` returns once it does.

        Raises `GaveUp` after a failure if the moment `until` names would pass, or if `unless` is
        set.
        """
        failures = 0
        while True:
            try:
                answer = await call()
            except asyncio.CancelledError:
                if _is_wanted():
                    raise
                error: Exception = BrokerUnavailable("its driver cancelled the call")
            except Exception as raised:  # noqa: BLE001  (whatever ails the broker, work goes on)
                error = raised
            else:
                if failures:
                    self._emit(BrokerRecovered(name, failures))
                return answer
            pause = max(LEAST_PAUSE, CURVE(failures, self._dice()))
            failures += 1
            self._emit(BrokerFailed(name, error, pause))
            await self._pause(pause, until, unless)

    async def _pause(
        self, seconds: float, until: Callable[[], Moment] | None, unless: asyncio.Event | None
    ) -> None:
        end = self._clock.now() + seconds
        if until is not None and end > until():
            raise GaveUp
        if unless is None:
            await self._clock.sleep_until(end)
            return
        await first(self._clock.sleep_until(end), unless.wait())
        if unless.is_set():
            raise GaveUp


def _is_wanted() -> bool:
    """Say whether somebody cancels this task, or a driver has cancelled what it awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
