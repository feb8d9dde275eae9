"""Which of some patterns is meant for a task's name."""

from collections.abc import Iterable
from typing import Final

PREFIX_ENDS_WITH: Final = ":"


def best_match(patterns: Iterable[str], name: str) -> str | None:
    """Return the exact name, else the longest prefix of it, None where there is neither.

    A prefix is a pattern that ends in ":", and the empty pattern is the prefix of all.
    """
    fitting = [
        each
        for each in patterns
        if each == name or (name.startswith(each) and (not each or each.endswith(PREFIX_ENDS_WITH)))
    ]
    # what is exact is also the longest
    return max(fitting, key=len, default=None)
