"""Sentences that say what is wrong in a store: the same in the dashboard and in alerts."""

from collections.abc import Mapping
from typing import Final

from qcore.entrypoints.written_numbers import tasks
from qcore.entrypoints.written_times import duration

NAMED: Final = 3
"""Queues or workers that are named in one sentence; of the others it tells the number."""


def unserved(waiting: Mapping[str, int]) -> str:
    """Say that no worker serves queues, of which each name has the number of waiting tasks."""
    where = "in it" if len(waiting) == 1 else "in them"
    return (
        f"No worker serves {named('the queue', 'the queues', waiting)}: "
        f"{wait(sum(waiting.values()))} {where}."
    )


def backlog(queue: str, waited: float, others: int = 0) -> str:
    """Say for how many seconds the first task of a queue has waited."""
    more = f", and {others:,} more queues have a backlog" if others else ""
    return f"The first task of the queue {queue} has waited for {duration(waited)}{more}."


def wait(number: int) -> str:
    """Say how many tasks wait."""
    return f"{tasks(number)} {'waits' if number == 1 else 'wait'}"


def named(one: str, several: str, names: Mapping[str, object]) -> str:
    """Return the first few names, after what they are."""
    shown = list(names)[:NAMED]
    more = len(names) - len(shown)
    text = ", ".join(shown) + (f" and {more:,} more" if more else "")
    return f"{one if len(names) == 1 else several} {text}"
