"""The six fields that a cron expression may have: what each is called, and its values."""

from typing import Final

from qcore.domain.record import record

MOST_DIGITS: Final = 3
"""Of a number, zeros in front included: `int` refuses thousands of them."""


@record
class Span:
    """A field's name, its first and last value, and the names of its values."""

    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    also_low: int | None = None
    """A second number for the first value: Sunday is 0 and 7."""
    note: str = ""

    @property
    def size(self) -> int:
        """Return how many values there are."""
        return self.high - self.low + 1

    @property
    def expected(self) -> str:
        """Return in words what a value may be."""
        last = self.high if self.also_low is None else self.also_low
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {last}{named}{self.note}"

    def number(self, word: str) -> int | None:
        """Return the value that a number or a name stands for, None where it is neither."""
        if word.lower() in self.names:
            return self.low + self.names.index(word.lower())
        value = int(word) if word.isdigit() and len(word) <= MOST_DIGITS else -1
        return value if self.low <= value <= self.high or value == self.also_low else None

    def folded(self, value: int) -> int:
        """Return a number that runs on past the last value as the value it stands for."""
        return (value - self.low) % self.size + self.low

    def between(self, first: int, last: int, step: int = 1) -> list[int]:
        """Return each `step`-th value from the first to the last, around the end if it is less."""
        if first > last:
            # a range that begins with a Sunday written as 7 wraps around nothing
            first, last = self.folded(first), last if first == self.also_low else last + self.size
        return [self.folded(value) for value in range(first, last + 1, step)]


MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

SECOND: Final = Span("second", 0, 59)
MINUTE: Final = Span("minute", 0, 59)
HOUR: Final = Span("hour", 0, 23)
DAY: Final = Span("day of month", 1, 31)
MONTH: Final = Span("month", 1, 12, MONTHS)
WEEKDAY: Final = Span("day of week", 0, 6, WEEKDAYS, 7, " (Sunday is 0 and 7)")

FIVE: Final = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
SIX: Final = (SECOND, *FIVE)
