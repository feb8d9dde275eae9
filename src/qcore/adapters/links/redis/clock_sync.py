"""The server's clock, estimated from this machine's monotonic one (Cristian's algorithm).

The server's TIME is taken to have been read half way between request and reply; half of the round
trip is the uncertainty (F. Cristian, "Probabilistic clock synchronization", 1989).
"""

import time
from time import monotonic
from typing import Final

from qcore.adapters.links.redis.resp import Reply
from qcore.domain.moments import Moment

MAX_AGE: Final = 60.0
"""Seconds after which the two clocks may have drifted apart by a millisecond or so."""
DRIFT: Final = 5e-4
"""Seconds per second by which NTP slews a clock at most (RFC 5905)."""


class ServerClock:
    """The offset of the server's clock to the local monotonic one; wall clocks do not matter."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._asked_at = 0.0
        self._measured_at = 0.0
        self._uncertainty = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the server has answered TIME at all."""
        return self._offset is not None

    @property
    def is_stale(self) -> bool:
        """Whether the server should be asked again."""
        return monotonic() - self._asked_at > MAX_AGE

    def update(self, reply: Reply, sent: float, received: float) -> None:
        """Take a reply to TIME, with the monotonic moments of request and reply.

        It is ignored if its uncertainty is larger than that of the offset already known, drift
        included: after a busy event loop, the server's clock would seem to jump.
        """
        self._asked_at = received
        uncertainty = (received - sent) / 2
        known = self._uncertainty + (received - self._measured_at) * DRIFT
        if self._offset is None or uncertainty <= known:
            seconds, microseconds = reply
            self._offset = int(seconds) + int(microseconds) / 1e6 - (sent + received) / 2
            self._measured_at, self._uncertainty = received, uncertainty

    def now(self) -> Moment:
        """Return the server's time; before the first reply, this machine's."""
        return time.time() if self._offset is None else monotonic() + self._offset
