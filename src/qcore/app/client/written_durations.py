"""Durations as text, as answers, commands and pages show them."""

from typing import Final

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
SHORT: Final = 10
"""Seconds below which a duration has tenths."""


def duration(seconds: float) -> str:
    """Return a number of seconds in its two largest units, such as "2 h 5 min"; "0.4 s" below 10 s.

    Whole units are cut, not rounded: what is 59.9 s old is not a minute old.
    """
    if seconds < SHORT:
        return f"{int(max(0.0, seconds) * 10) / 10:g} s"
    rest, parts = int(seconds), list[str]()
    for size, unit in UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])
