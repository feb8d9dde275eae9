"""How many tasks go out together with one whose worker crashed, so that the guilty one is found.

A task that kills its worker takes along whatever ran beside it, and each of these burns a crash. If
the same batch were handed out again, all of it would be dead after `max_crashes`. Therefore the
crashes of a task bound the number of those that are handed out with it: by the second crash the
suspects are few, and by the last each is alone, so that only the guilty one dies. (This is group
testing in stages: R. Dorfman, "The Detection of Defective Members of Large Populations", 1943.)
"""

from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from qcore.domain.lifecycle import SpecView

FEW: Final = 16
"""Tasks that are handed out together if one of them has crashed: a hundred suspects are in seven
such groups, and at most sixteen of them have to run alone after the next crash."""


class CrashView(Protocol):
    """The part of a task that decides with how many others it is handed out."""

    @property
    def spec(self) -> SpecView:
        """Return its options."""
        ...

    @property
    def crashes(self) -> int:
        """Return how many of its runs ended in a crash."""
        ...


def is_last_chance(task: CrashView) -> bool:
    """Return whether a task has crashed, and one more crash makes it dead."""
    return task.crashes > 0 and task.crashes >= task.spec.max_crashes - 1


def most_together(task: CrashView) -> float:
    """Return how many tasks of its queue, itself included, one claim may hand out with a task."""
    if not task.crashes:
        return inf
    return 1 if is_last_chance(task) else FEW


def room_beside(held: Sequence[CrashView]) -> float:
    """Return how many more tasks of a queue a claim may hand out that has these of it.

    Negative where these are too many already.
    """
    # of those that have crashed, which are few: each claim from several queues pays for this
    return min([most_together(task) for task in held if task.crashes], default=inf) - len(held)
