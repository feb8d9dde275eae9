"""Send events to every instrument, none of which can harm a worker."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property, partial
from typing import Any, cast

from qcore.app.calls.user_code import log_failure
from qcore.domain.events import BrokerCalled, Event
from qcore.ports import Instrument


class Instruments:
    """All instruments as one callable; what one of them raises is logged, and changes nothing."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._by_kind: dict[type[Event], tuple[Instrument, ...]] = {}

    def wants(self, kind: type[Event]) -> bool:
        """Return whether any instrument takes events of a kind.

        A hot path asks once, and does not even make events that nobody takes.
        """
        return bool(self._takers(kind))

    def sender(self, kind: type[Event]) -> Callable[[Event], None] | None:
        """Return what sends events of one kind, as a hot path does; None if nobody takes them."""
        takers = self._takers(kind)
        return partial(_send, takers) if takers else None

    def __call__(self, event: Event) -> None:
        """Send an event to each instrument that takes its kind."""
        _send(self._takers(type(event)), event)

    def call_times(self, verb: str) -> list[float] | None:
        """Return the list of the only instrument that takes `BrokerCalled`, if it has one."""
        takers = self._takers(BrokerCalled)
        return _call_times(takers[0], verb) if len(takers) == 1 else None

    def _takers(self, kind: type[Event]) -> tuple[Instrument, ...]:
        takers = self._by_kind.get(kind)
        if takers is None:
            wanted = self._wanted
            takers = tuple(each for each, kinds in wanted if kinds is None or kind in kinds)
            self._by_kind[kind] = takers
        return takers

    @cached_property
    def _wanted(self) -> Sequence[tuple[Instrument, Collection[type[Event]] | None]]:
        """Each instrument with the kinds that it wants; it may have to look for them."""
        return [(each, _kinds_wanted(each)) for each in self._instruments]


def _send(takers: Sequence[Instrument], event: Event) -> None:
    for instrument in takers:
        try:
            instrument(event)
        except BaseException as error:  # noqa: BLE001  (its trouble is not the worker's)
            log_failure(error, "instrument failed", instrument)


def _call_times(instrument: Instrument, verb: str) -> list[float] | None:
    """Return the list of an instrument for the times of a verb; None if it cannot say."""
    try:
        call_times: Callable[[str], Any] | None = getattr(instrument, "call_times", None)
        times = None if call_times is None else call_times(verb)
    except BaseException as error:  # noqa: BLE001  (its trouble is not the worker's)
        log_failure(error, "instrument failed", instrument)
        return None
    # no other kind of list: its methods would be the instrument's code, in the midst of a call
    return cast("list[float]", times) if type(times) is list else None


def _kinds_wanted(instrument: Instrument) -> Collection[type[Event]] | None:
    """Return the kinds of events that an instrument takes: None for all; none if it cannot say."""
    try:
        kinds = getattr(instrument, "wants", None)
        return None if kinds is None else frozenset(kinds)
    except BaseException as error:  # noqa: BLE001  (its trouble is not the worker's)
        log_failure(error, "instrument failed", instrument)
        return ()
