"""The state of one circuit of a `CircuitBreaker`; time, by the monotonic clock, is an argument."""

from collections import deque


class Circuit:
    """The state of one circuit, such as that of one service.

    Closed while `until` is None, open until then, half-open after it: then one run at a time
    is let through as a probe. To close it is to forget it.
    """

    def __init__(self, failures: int, within: float) -> None:
        self._within = within
        self._failed: deque[float] = deque(maxlen=failures)
        self.opened = 0
        """How many times in a row it has opened; the curve of its pauses is given that."""
        self.until: float | None = None
        self.pause = 0.0
        """Seconds for which it last opened."""
        self.has_probe = False

    def fail(self, now: float) -> bool:
        """Count a failure; return whether `failures` of them are within the time."""
        self._failed.append(now)
        is_full = len(self._failed) == self._failed.maxlen
        return is_full and now - self._failed[0] <= self._within

    def open(self, now: float, pause: float) -> None:
        """Open for `pause` seconds."""
        self.opened += 1
        self.pause = pause
        self.until = now + pause
