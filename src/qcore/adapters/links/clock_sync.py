"""The server's clock, estimated from a monotonic one of this machine (Cristian's algorithm).

The server's time is taken to have been read half way between request and reply; half of the round
trip is the uncertainty (F. Cristian, "Probabilistic clock synchronization", 1989).

While a machine is suspended the server's time goes on. Linux has a monotonic clock that counts this
time, CLOCK_BOOTTIME; elsewhere, and for a virtual machine that was paused as a whole, the server is
asked again: every two seconds while it is called anyway, and at once where this machine's wall
clock has gone further than the monotonic one.
"""

import time
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from qcore.domain.moments import Moment

MAX_AGE: Final = 2.0
"""Seconds after which the server is asked again."""
DRIFT: Final = 5e-4
"""Seconds per second by which NTP slews a clock at most (RFC 5905)."""
SUSPENDED: Final = 1.0
"""Seconds by which the wall clock is ahead of the monotonic one only if one of them jumped."""

monotonic: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
"""Seconds that only grow, if possible while the machine is suspended, too."""


class ServerClock:
    """The offset of the server's clock to the local monotonic one; wall clocks do not matter."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._asked_at = 0.0
        self._wall_ahead = 0.0
        """The wall clock less the monotonic one when the server was asked."""
        self._measured_at = 0.0
        self._uncertainty = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the server has told its time at all."""
        return self._offset is not None

    @property
    def is_stale(self) -> bool:
        """Whether the server should be asked again."""
        return self.is_stale_at(monotonic())

    def is_stale_at(self, now: float) -> bool:
        """Return whether the server should be asked again by `now`, a reading of `monotonic`."""
        return now - self._asked_at > MAX_AGE or time.time() - now - self._wall_ahead > SUSPENDED

    def is_old(self, now: float) -> bool:
        """Return whether the last reply is old by `now`, a reading of `monotonic`."""
        return now - self._asked_at > MAX_AGE

    def invalidate(self) -> None:
        """Take the next reply whatever its uncertainty: another server may have another clock."""
        self._asked_at = -inf
        self._uncertainty = inf

    def update(self, told: Moment, sent: float, received: float) -> None:
        """Take the time that the server told, with the monotonic moments of request and reply.

        It is ignored if its uncertainty is larger than that of the offset already known, drift
        included: after a busy event loop, the server's clock would seem to jump. Unless the two
        differ by more than both uncertainties: then one of the clocks did jump.
        """
        self._asked_at = received
        self._wall_ahead = time.time() - received
        uncertainty = (received - sent) / 2
        known = self._uncertainty + (received - self._measured_at) * DRIFT
        offset = told - (sent + received) / 2
        if (
            self._offset is None
            or uncertainty <= known
            or abs(offset - self._offset) > uncertainty + known
        ):
            self._offset = offset
            self._measured_at, self._uncertainty = received, uncertainty

    def now(self) -> Moment:
        """Return the server's time; before the first reply, this machine's."""
        return time.time() if self._offset is None else monotonic() + self._offset
