"""A cron expression as its fields, and how its two day fields combine."""

from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.schedules.fields import Field, read_field
from qcore.domain.schedules.spans import FIVE, SIX
from qcore.domain.text import shown

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
NO_NICKNAMES: Final = {
    "@reboot": "it names no time; what is done when a worker starts is a lifespan",
    "@every": "elapsed time is no cron expression; it is `Every` of qcore.schedules",
}
LONGEST: Final = 1_000
"""Characters: each field with all its values is some 600."""


@record
class Expression:
    """The fields of an expression."""

    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def is_hourly(self) -> bool:
        """Return whether it is of elapsed time: every hour is in it, however that is written."""
        return self.hour.is_all

    @property
    def is_either_day(self) -> bool:
        """Return whether one of its two day fields is enough.

        As in Vixie's cron, both are restricted unless one begins with `*`, even of a step.
        """
        return not self.day.starred and not self.weekday.starred

    @property
    def is_ambiguous(self) -> bool:
        """Return whether somebody could take "and" of its day fields for "or", or the reverse."""
        return not self.day.is_free and not self.weekday.is_free

    def plain(self) -> str:
        """Return the expression for croniter, which has the seconds last."""
        fields = self.minute, self.hour, self.day, self.month, self.weekday, self.second
        return " ".join(field.plain() for field in fields)


def read_expression(text: str, *, seconds: bool) -> Expression:
    """Return the fields of an expression; raise `InvalidOption` with the reason for what is none.

    `seconds` says that there are six fields, of which the first is that of seconds.
    """
    if len(text) > LONGEST:
        raise InvalidOption(
            f"the expression is {shown(text)}: expected at most {LONGEST:,} characters"
        )
    words = _standard(text, seconds=seconds)
    fields = [read_field(span, word, text) for span, word in zip(SIX, words, strict=True)]
    expression = Expression(*fields)
    if expression.is_ambiguous and (expression.day.is_special or expression.weekday.is_special):
        raise InvalidOption(
            f"the day of month of {shown(text)} is {shown(words[3])} and the day of week "
            f"{shown(words[5])}: expected * for one of them, as W, # and L beside a day combine "
            "with nothing"
        )
    return expression


def _standard(text: str, *, seconds: bool) -> list[str]:
    """Return the words of an expression as six fields, the seconds first."""
    words = text.split()
    name = words[0].lower() if words else ""
    if name in NO_NICKNAMES:
        raise InvalidOption(f"the expression is {shown(text)}: {NO_NICKNAMES[name]}")
    if text.lower() in NICKNAMES:
        return ["0", *NICKNAMES[text.lower()].split()]
    spans = SIX if seconds else FIVE
    if name.startswith("@"):
        raise InvalidOption(
            f"the expression is {shown(text)}: expected one of {', '.join(NICKNAMES)}"
        )
    if len(words) != len(spans):
        titles = ", ".join(span.title for span in spans)
        first = "; seconds first are for seconds=True" if len(words) == len(SIX) else ""
        raise InvalidOption(
            f"the expression is {shown(text)}, which has {len(words)} fields: expected "
            f"{len(spans)} ({titles}){first}"
        )
    return words if seconds else ["0", *words]
