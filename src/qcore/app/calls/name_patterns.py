"""Match the name of a task, or of a group, against exact names and prefixes."""

from collections.abc import Iterable
from typing import Final

PREFIX_ENDS_WITH: Final = ":"


def best_match(patterns: Iterable[str], name: str) -> str | None:
    """Return the pattern that equals the name, else its longest prefix, None if none matches.

    A prefix is a pattern that ends in ":", and the empty pattern is the prefix of all.
    """
    matching = [
        each
        for each in patterns
        if each == name or (name.startswith(each) and (not each or each.endswith(PREFIX_ENDS_WITH)))
    ]
    # an exact match is also the longest
    return max(matching, key=len, default=None)
