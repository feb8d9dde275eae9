"""What a broker has besides whose store has a clock."""

from typing import Protocol

from qcore.domain.moments import Moment


class Timekeeper(Protocol):
    """What a broker with `Capability.TIME` has besides."""

    def time(self) -> Moment:
        """Return what time it is by the store's clock.

        - All who have opened a broker on the store agree to within a round trip to it, whatever
          the clocks of their machines say.
        - A broker and its `blocking()` tell the same time once either was opened.
        - To ask makes nobody wait, and may be done from any thread.
        - Before the first opening it is this machine's time.
        """
        ...
