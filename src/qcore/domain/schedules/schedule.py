"""What a schedule is, however it says when it ticks."""

from typing import Protocol

from qcore.domain.moments import Moment


class Schedule(Protocol):
    """When something that recurs is due: a frozen value that can be stored as text.

    Two schedules that are equal tick at the same instants, whoever asks and whatever was asked
    before. An instant is thereby the identity of a tick: any number of schedulers that hold the
    same schedule agree on it.
    """

    def after(self, moment: Moment) -> Moment | None:
        """Return the first tick that is later than `moment`, never equal to it.

        In seconds since the epoch, UTC. None where no tick follows before the year 10000.
        """
        ...

    def describe(self) -> str:
        """Return the schedule in words, such as "at 09:00, Monday to Friday, Europe/Berlin"."""
        ...

    def spelled(self) -> str:
        """Return the text in which the schedule is stored; `schedule_from` reads it."""
        ...
