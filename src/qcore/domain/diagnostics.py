"""The findings of a doctor: what is wrong with a store, how bad it is, and what to do."""

from enum import StrEnum
from functools import partial
from typing import Final

from qcore.domain.record import record


class Grade(StrEnum):
    """How bad a finding is."""

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
    """One finding; `to_do` is empty if there is nothing to do."""

    grade: Grade
    about: str
    """The subject, in a word or two; findings are listed by subject."""
    found: str
    to_do: str = ""


ok: Final = partial(Finding, Grade.OK)
advice: Final = partial(Finding, Grade.ADVICE)
warning: Final = partial(Finding, Grade.WARNING)
error: Final = partial(Finding, Grade.ERROR)
