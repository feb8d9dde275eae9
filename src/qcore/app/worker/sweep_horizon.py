"""Up to which moment a worker may judge the leases of others."""

from typing import Final

from qcore.domain.moments import Moment
from qcore.ports import Clock

LONGEST_PATIENCE: Final = 10.0
"""Seconds that others get to renew their leases after a disturbance, at most; as long as a lease if
that is shorter. A third of it would do for whoever comes back at once, but not for the last of
several that are thawed one by one."""
PATIENCE_AT_START: Final = 4.0
"""The same for a worker that has just started, and does not know whether there was one: tasks of a
worker that crashed before are noticed within five seconds all the same."""


class SweepHorizon:
    """Tell what `now` a sweep may use, so that it takes no task whose worker could not renew.

    That a lease has run out shows a crash only if its worker was able to renew it: if the store
    answered, and the worker was not frozen together with this one. What this worker can know of
    that is its own sweeps. While they come in time and are answered, so are the renewals of others,
    and it sweeps with the present moment. After one that failed, or came much later than planned
    (the process was frozen, the machine suspended, the event loop blocked, the time set), it sweeps
    with the moment of the last one that was in time, which takes nobody's task, until the store has
    answered for as long as others need to renew.

    A worker that has just started knows of no sweeps, and waits likewise, unless it `has_others`
    not: the store is in its own process, and cannot have been away.

    A heartbeat leaves no lease with less than half of its length while it is answered, and this
    worker takes nothing once a third has passed since the last sweep that was answered in time.
    """

    def __init__(self, clock: Clock, lease: float, *, has_others: bool) -> None:
        self._clock = clock
        self._longest_gap = lease / 3
        self._patience = min(lease, LONGEST_PATIENCE)
        self._wait = min(lease / 3, PATIENCE_AT_START) if has_others else 0.0
        self._steady_since: float | None = None
        """Since when all sweeps were in time and answered, by the monotonic clock."""
        self._began: tuple[Moment, float] = clock.now(), clock.monotonic()
        self._answered = self._began
        """When the last sweep that was answered began, by both clocks."""
        self._moment: Moment = 0.0
        self.is_clear = False
        """Whether the last sweep could judge by the present moment."""

    def begin(self) -> Moment:
        """Return the `now` for a sweep that is made at once."""
        now, reading = self._began = self._clock.now(), self._clock.monotonic()
        before, reading_before = self._answered
        if max(abs(now - before), reading - reading_before) > self._longest_gap:
            self.disturbed()
        self.is_clear = self.seconds_left <= 0
        # not later than now, or setting the time back would end leases that are given from now on
        self._moment = now if self.is_clear else min(self._moment, now)
        return self._moment

    def answered(self) -> None:
        """Note that the sweep which began last was answered."""
        self._answered = self._began
        if self._steady_since is None:
            self._steady_since = self._clock.monotonic()

    def disturbed(self) -> None:
        """Note that others may not have been able to renew their leases."""
        if self._steady_since is not None:
            self._wait = self._patience
        self._steady_since = None

    @property
    def seconds_left(self) -> float:
        """How long others still have to renew their leases; not more than 0 for no time."""
        if self._steady_since is None:
            return self._wait
        return self._steady_since + self._wait - self._clock.monotonic()
