"""Send events to every instrument, none of which can harm a worker."""

from collections.abc import Sequence
from contextlib import suppress

import structlog

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

    def __call__(self, event: Event) -> None:
        """Send an event to each instrument that takes its kind."""
        for instrument in self._takers(type(event)):
            try:
                instrument(event)
            except Exception:  # noqa: BLE001  (an instrument's trouble is not the worker's)
                # the log itself may be what failed, as with a closed pipe
                with suppress(Exception):
                    structlog.get_logger("qcore").exception(
                        "instrument failed", instrument=repr(instrument)
                    )

    def _takers(self, kind: type[Event]) -> tuple[Instrument, ...]:
        takers = self._by_kind.get(kind)
        if takers is None:
            wanted = [(each, getattr(each, "wants", None)) for each in self._instruments]
            takers = tuple(each for each, kinds in wanted if kinds is None or kind in kinds)
            self._by_kind[kind] = takers
        return takers
