"""What an examination of a store finds."""

from enum import StrEnum
from functools import partial
from typing import Final

from qcore.domain.record import record


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    ADVICE = "advice"
    """It works, and could be better."""
    WARNING = "warning"
    """It works, and tasks may be lost or late."""
    ERROR = "error"
    """It does not work."""


GRADES: Final = tuple(Grade)
"""From the best to the worst."""


@record
class Finding:
    """What was found of one matter, and what to do about it: nothing where that is empty."""

    grade: Grade
    about: str
    """The matter, in a word or two: those of one matter stand together."""
    found: str
    to_do: str = ""


ok: Final = partial(Finding, Grade.OK)
advice: Final = partial(Finding, Grade.ADVICE)
warning: Final = partial(Finding, Grade.WARNING)
error: Final = partial(Finding, Grade.ERROR)
