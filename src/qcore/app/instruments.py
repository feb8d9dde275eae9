"""Tell those who want to know."""

from collections.abc import Sequence
from contextlib import suppress

import structlog

from qcore.domain.happenings import Happening
from qcore.ports import Instrument


class Instruments:
    """All instruments as one; what one of them raises is logged, and changes nothing."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)

    def __bool__(self) -> bool:
        """Return whether anybody wants to know: a hot path need not even say it otherwise."""
        return bool(self._instruments)

    def __call__(self, happening: Happening) -> None:
        """Tell each instrument."""
        for instrument in self._instruments:
            try:
                instrument(happening)
            except Exception:  # noqa: BLE001  (an instrument's trouble is not the worker's)
                # it may have been the log itself that failed, as with a closed pipe
                with suppress(Exception):
                    structlog.get_logger("qcore").exception(
                        "instrument failed", instrument=repr(instrument)
                    )
