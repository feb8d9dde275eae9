"""How often a login may fail: few times a minute from one address, some more from all."""

from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from qcore.entrypoints.dashboard.refusals import TooMany

MOST: Final = 5
"""Failures from one address in a minute."""
MOST_OF_ALL: Final = 100
"""From all addresses together: somebody may have many."""
SPAN: Final = 60.0
"""Seconds."""
ADDRESSES: Final = 1_000
"""Addresses that are remembered; of more, those that failed last."""


class LoginAttempts:
    """Logins that have failed in the last minute."""

    def __init__(self, time: Callable[[], float] = monotonic) -> None:
        self._time = time
        self._of_all: deque[float] = deque(maxlen=MOST_OF_ALL)
        self._of_one: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `TooMany` where no further login is looked at for now, also if it is right."""
        for failed, most in ((self._of_one.get(address, ()), MOST), (self._of_all, MOST_OF_ALL)):
            if sum(at > self._time() - SPAN for at in failed) >= most:
                raise TooMany("too many logins have failed: try again in a minute")

    def failed(self, address: str) -> None:
        """Take note of a login that has failed."""
        now = self._time()
        self._of_all.append(now)
        self._of_one.setdefault(address, deque(maxlen=MOST)).append(now)
        self._of_one.move_to_end(address)
        if len(self._of_one) > ADDRESSES:
            self._of_one.popitem(last=False)
