"""Tell those who want to know."""

from collections.abc import Sequence
from contextlib import suppress

import structlog

from qcore.domain.events import Event
from qcore.ports import Instrument


class Instruments:
    """All instruments as one; what one of them raises is logged, and changes nothing."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        self._by_kind: dict[type, tuple[Instrument, ...]] = {}

    def wants(self, kind: type) -> bool:
        """Return whether anybody wants to know of a kind of happening.

        A hot path asks once, and need not even make what nobody wants.
        """
        return bool(self._told_of(kind))

    def _told_of(self, kind: type) -> tuple[Instrument, ...]:
        wanting = self._by_kind.get(kind)
        if wanting is None:
            wanted = [(each, getattr(each, "wants", None)) for each in self._instruments]
            wanting = tuple(each for each, kinds in wanted if kinds is None or kind in kinds)
            self._by_kind[kind] = wanting
        return wanting

    def __call__(self, happening: Event) -> None:
        """Tell each instrument that wants to know."""
        for instrument in self._told_of(type(happening)):
            try:
                instrument(happening)
            except Exception:  # noqa: BLE001  (an instrument's trouble is not the worker's)
                # it may have been the log itself that failed, as with a closed pipe
                with suppress(Exception):
                    structlog.get_logger("qcore").exception(
                        "instrument failed", instrument=repr(instrument)
                    )
