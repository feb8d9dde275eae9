"""A picture of numbers in one line of text."""

from collections.abc import Sequence
from math import ceil
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
"""For nothing, and from little to the most."""


def sparkline(numbers: Sequence[int], width: int) -> str:
    """Return a bar for each number, or for the sum of several where there are more than `width`.

    Only nothing has the lowest bar: what has happened once can be told from what never did.
    """
    several = max(1, ceil(len(numbers) / width))
    # the last bar is whole: the first may stand for fewer
    first = len(numbers) % several
    sums = [sum(numbers[:first])] if first else []
    sums += [sum(numbers[at : at + several]) for at in range(first, len(numbers), several)]
    most = max(sums, default=0)
    return "".join(BARS[ceil(each * (len(BARS) - 1) / most) if each else 0] for each in sums)
