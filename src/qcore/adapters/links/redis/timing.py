"""The server's time, told by this machine's monotonic clock."""

from time import monotonic, time
from typing import Final

from qcore.adapters.links.redis.words import Reply
from qcore.domain.moments import Moment

GOOD_FOR: Final = 60.0
"""Seconds after which the clocks may have drifted apart by a millisecond or so."""


class ServerTime:
    """What the server's clock is ahead of the monotonic one here, however wrong the wall clock."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._asked = 0.0

    @property
    def is_old(self) -> bool:
        """Whether the server should be asked again."""
        return monotonic() - self._asked > GOOD_FOR

    def note(self, reply: Reply, sent: float, received: float) -> None:
        """Take note of an answer to TIME: half way between question and answer it was right."""
        seconds, microseconds = reply
        self._ahead = int(seconds) + int(microseconds) / 1e6 - (sent + received) / 2
        self._asked = received

    def now(self) -> Moment:
        """Return what time the server has; this machine's own before the first answer."""
        return time() if self._ahead is None else monotonic() + self._ahead
