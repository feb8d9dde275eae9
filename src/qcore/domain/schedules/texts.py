"""Schedules as text: what a person writes, and what `spelled` has stored."""

from qcore.domain.schedules.every import Every, every_from


def schedule_from(text: str) -> Every:
    """Return the schedule of a text; raise `InvalidOption` for one that this version cannot read.

    "@every 1h30m" is elapsed time (see `every_from`).
    """
    return every_from(text)
