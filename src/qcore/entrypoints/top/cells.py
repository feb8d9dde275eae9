"""What stands in cells: numbers in five characters, ages, bars; to be read without colour too."""

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from qcore.domain.moments import Moment
from qcore.domain.queue_limits import NO_LIMITS, Limits
from qcore.domain.states import State
from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.cli.queue_output import bar_shares
from qcore.entrypoints.written_times import short

STYLES: Final[Mapping[State, str]] = {
    State.SCHEDULED: "cyan",
    State.PENDING: "blue",
    State.AGGREGATING: "magenta",
    State.ACTIVE: "green",
    State.RETRY: "yellow",
    State.COMPLETED: "default",
    State.ARCHIVED: "bright_black",
    State.DEAD: "red",
}
"""Of the terminal's own sixteen colours, which it shows well on its own background."""
MARKS: Final[Mapping[State, str]] = {
    State.SCHEDULED: "░",
    State.PENDING: "▒",
    State.AGGREGATING: "▚",
    State.ACTIVE: "█",
    State.RETRY: "▓",
    State.COMPLETED: "─",
    State.ARCHIVED: "=",
    State.DEAD: "×",
}
"""In a bar each state has its own, as there may be no colours."""
NONE: Final = Text("-", style="bright_black")
NOTHING: Final = "·"
LARGE: Final = 10_000
UNITS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
TENTHS: Final = 100
PERIODS: Final = {1.0: "s", 60.0: "min", 3_600.0: "h", 86_400.0: "day"}


def plain(text: str, style: str = "") -> Text:
    """Return text that somebody else has written, without what a terminal would obey."""
    return Text(cell(text), style=style)


def number(value: float, style: str = "") -> Text:
    """Return a number in at most five characters, such as "9999", "12.3k" or "1.2M"."""
    if not value:
        return Text("0", style="bright_black")
    return Text(compact(value), style=style)


def compact(value: float) -> str:
    """Return a number in at most five characters."""
    if value < LARGE:
        return f"{value:.1f}" if 0 < value < 1 else f"{value:.0f}"
    size, unit = next((size, unit) for size, unit in UNITS if value >= size)
    shown = value / size
    # cut, not rounded: 999,999 is not a thousand thousands
    return f"{int(shown * 10) / 10:g}{unit}" if shown < TENTHS else f"{int(shown)}{unit}"


def seconds(value: float | None, style: str = "") -> Text:
    """Return a time in at most five characters."""
    return NONE if value is None else Text(short(max(0.0, value)), style=style)


def ago(moment: Moment | None, now: Moment) -> Text:
    """Return how long ago a moment was, or in how long it comes."""
    if moment is None:
        return NONE
    return Text(f"in {short(moment - now)}" if moment > now else short(now - moment))


def limits(found: Limits | None) -> Text:
    """Return limits in a few characters, such as 300/min ≤5."""
    if found is None or found == NO_LIMITS:
        return NONE
    told = [Text("paused", style="yellow")] if found.is_paused else []
    if found.rate is not None:
        per = found.rate.per
        unit = PERIODS.get(per, f"{per:g}s")
        told.append(Text(f"{found.rate.count}/{unit}"))
    if found.in_flight is not None:
        told.append(Text(f"≤{found.in_flight}"))
    return Text(" ").join(told)


def state(value: State) -> Text:
    """Return a state in its colour."""
    return Text(value, style=STYLES[value])


def bar(sizes: Mapping[State, int], width: int) -> Text:
    """Return a bar in which each state has its share, with a mark of its own."""
    if not any(sizes.values()):
        return Text(NOTHING * width, style="bright_black")
    shares = bar_shares(sizes, width)
    return Text.assemble(*((MARKS[each] * n, STYLES[each]) for each, n in shares.items()))
