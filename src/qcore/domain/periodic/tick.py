"""The tick for which a task was made, as it travels in the task's headers."""

from collections.abc import Mapping
from typing import Final

from msgspec import MsgspecError, json

from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.record import record

TICK: Final = "qcore-tick"
"""The header that has it."""


@record
class Tick:
    """The tick of a periodic task."""

    entry: str
    """The name of the entry."""
    at: Moment
    """The instant that it is for."""
    late_by: float
    """Seconds by which the task was made late, its jitter left out of account."""
    is_late: bool
    """Whether that is more than the entry's `grace`."""


_decode: Final = json.Decoder(Tick).decode


def with_tick(headers: Mapping[str, str], tick: Tick) -> Mapping[str, str]:
    """Return headers that also tell the tick."""
    return FrozenDict({**headers, TICK: json.encode(tick).decode()})


def tick_in(headers: Mapping[str, str]) -> Tick | None:
    """Return the tick that headers tell, None where they have none that can be read."""
    told = headers.get(TICK)
    if told is None:
        return None
    try:
        return _decode(told)
    except (MsgspecError, RecursionError):
        return None
