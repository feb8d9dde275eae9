"""Send events to every instrument, none of which can harm a worker."""

from collections.abc import Callable, Sequence
from functools import partial

from qcore.app.calls.user_code import log_failure
from qcore.domain.events import Event
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

    def _takers(self, kind: type[Event]) -> tuple[Instrument, ...]:
        takers = self._by_kind.get(kind)
        if takers is None:
            takers = tuple(each for each in self._instruments if _wants(each, kind))
            self._by_kind[kind] = takers
        return takers


def _send(takers: Sequence[Instrument], event: Event) -> None:
    for instrument in takers:
        try:
            instrument(event)
        except BaseException as error:  # noqa: BLE001  (its trouble is not the worker's)
            log_failure(error, "instrument failed", instrument)


def _wants(instrument: Instrument, kind: type[Event]) -> bool:
    """Return whether an instrument takes events of a kind; one that cannot say takes none."""
    try:
        kinds = getattr(instrument, "wants", None)
        is_wanted = kinds is None or kind in kinds
    except BaseException as error:  # noqa: BLE001  (its trouble is not the worker's)
        log_failure(error, "instrument failed", instrument)
        return False
    return is_wanted
