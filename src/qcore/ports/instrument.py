"""`Instrument`: what is told of events."""

from typing import Protocol

from qcore.domain.events import Event


class Instrument(Protocol):
    """What is told of events: a log, a metric, a trace, a test.

    It may have an attribute `wants`, a set of the kinds of `Event` that it takes note of, so that
    no others are made for it; without one it is told of all. Calls of the broker are measured only
    where an instrument wants `BrokerCalled`. It may have a method `follow`, which is called with
    each `Worker` that is made: what measures how busy that is.
    """

    def __call__(self, event: Event) -> None:
        """Take note of what happened.

        Called on the worker's loop or its heartbeat thread; with a `BrokerCalled` on whichever
        thread has made the call. What it raises is logged, and changes nothing for the task.
        """
        ...
