"""The server's time, told by this machine's monotonic clock."""

import time
from time import monotonic
from typing import Final

from qcore.adapters.links.redis.resp import Reply
from qcore.domain.moments import Moment

GOOD_FOR: Final = 60.0
"""Seconds after which the clocks may have drifted apart by a millisecond or so."""
DRIFT: Final = 5e-4
"""Seconds in a second by which NTP lets a clock be wrong while it mends it (RFC 5905)."""


class ServerTime:
    """What the server's clock is ahead of the monotonic one here, however wrong the wall clock."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._asked = 0.0
        self._known = 0.0
        self._doubt = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the server was asked at all."""
        return self._ahead is not None

    @property
    def is_old(self) -> bool:
        """Whether the server should be asked again."""
        return monotonic() - self._asked > GOOD_FOR

    def note(self, reply: Reply, sent: float, received: float) -> None:
        """Take note of an answer to TIME: half way between question and answer it was right.

        One that took so long that what is known is better is let go: an event loop that was busy
        would make the server's clock jump.
        """
        self._asked = received
        doubt = (received - sent) / 2
        if self._ahead is None or doubt <= self._doubt + (received - self._known) * DRIFT:
            seconds, microseconds = reply
            self._ahead = int(seconds) + int(microseconds) / 1e6 - (sent + received) / 2
            self._known, self._doubt = received, doubt

    def now(self) -> Moment:
        """Return what time the server has; this machine's own before the first answer."""
        return time.time() if self._ahead is None else monotonic() + self._ahead
