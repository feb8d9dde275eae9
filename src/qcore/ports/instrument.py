"""`Instrument`: what is told of events."""

from typing import Final, Protocol

from qcore.domain.events import Event

MAX_CALL_TIMES: Final = 1_000
"""Calls of a verb whose times wait for an instrument to take them."""


class Instrument(Protocol):
    """What is told of events: a log, a metric, a trace, a test.

    It may have an attribute `wants`, a set of the kinds of `Event` that it takes note of, so that
    no others are made for it; without one it is told of all. Calls of the broker are measured only
    where an instrument wants `BrokerCalled`. It may have a method `follow`, which is called with
    each `Worker` that is made: what measures how busy that is.

    It may have a method `call_times(verb: str) -> list[float] | None`. Where nobody else wants
    `BrokerCalled`, the seconds of each "enqueue", "claim" and "settle" that went well are appended
    to the list in place of an event, which takes longer to make and to send than the call takes to
    measure. The instrument takes them out; while there are `MAX_CALL_TIMES` in it, and where there
    is no list, events are sent. Any thread may append at any time. What is of a class that is
    derived from `list` counts as no list.
    """

    def __call__(self, event: Event) -> None:
        """Take note of what happened.

        Called on the worker's loop or its heartbeat thread; with a `BrokerCalled` on whichever
        thread has made the call. What it raises is logged, and changes nothing for the task.
        """
        ...
