"""One field of a cron expression, read into the values that it stands for.

The grammar is that of Vixie's cron, with ranges that wrap, `?`, and croniter's `L`, `W` and `#`. It
is read here, and croniter is given plain lists: croniter 7.0.0 takes `5-5` for the whole field,
loses values of a range that wraps with a step, and names no field when it refuses one.
"""

import re
from collections.abc import Sequence
from typing import Final

from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.schedules.spans import DAY, WEEKDAY, Span
from qcore.domain.text import shown

LAST: Final = 0
"""Which of its kind in a month: the last, where others are the first to the fifth."""

_FLAGS: Final = re.ASCII | re.IGNORECASE
_RANGE: Final = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(.*))?", _FLAGS)
_NEAREST: Final = re.compile(r"(\d+)w|w(\d+)", _FLAGS)
_NTH: Final = re.compile(r"(\w+)(?:-(\w+))?#([1-5])", _FLAGS)
_LAST_OF: Final = re.compile(r"l(\w+)|(\w+)l", _FLAGS)
_CHOSEN: Final = re.compile(r"[hr](\(.*\))?(/.*)?", _FLAGS)


@record
class Field:
    """What a field stands for."""

    span: Span
    values: frozenset[int] = frozenset()
    starred: bool = False
    """Whether it begins with `*`, or is `?`."""
    last_day: bool = False
    """`L` as day of the month."""
    nearest: int | None = None
    """`15W`, the weekday nearest to the 15th."""
    nth: frozenset[tuple[int, int]] = frozenset()
    """`2#3`, the third Tuesday of a month, as pairs; `LAST` in place of 3 for the last one."""

    @property
    def is_all(self) -> bool:
        """Return whether it has every value of its span."""
        return len(self.values) == self.span.size

    @property
    def is_free(self) -> bool:
        """Return whether it restricts nothing, and begins with `*`."""
        return self.is_all and self.starred

    @property
    def is_special(self) -> bool:
        """Return whether croniter combines it with no other day field."""
        return self.nearest is not None or bool(self.nth)

    def plain(self) -> str:
        """Return the text for croniter: `*`, or a list without ranges, steps and names."""
        if self.is_free:
            return "*"
        words = [str(value) for value in sorted(self.values)]
        words += ["l"] if self.last_day else []
        words += [] if self.nearest is None else [f"{self.nearest}w"]
        words += [f"l{day}" if nth == LAST else f"{day}#{nth}" for day, nth in sorted(self.nth)]
        return ",".join(words)


class _Unexpected(ValueError):
    """Say which term of a field is wrong, and what was expected."""

    def __init__(self, term: str, expected: str) -> None:
        super().__init__(f"{shown(term)}: expected {expected}")


def read_field(span: Span, text: str, whole: str) -> Field:
    """Return what a field stands for; raise `InvalidOption` that names it, and its expression."""
    try:
        return _read(span, text)
    except _Unexpected as error:
        raise InvalidOption(f"the {span.title} of {shown(whole)} has {error}") from None


def _read(span: Span, text: str) -> Field:
    if _CHOSEN.fullmatch(text):
        raise _Unexpected(text, f"{span.expected}; what R and H choose may differ between programs")
    terms = text.split(",")
    if span is DAY and "W" in text.upper():
        return Field(span, nearest=_nearest(text))
    if span is WEEKDAY and re.search("[#lL]", text):
        return Field(span, nth=frozenset(pair for term in terms for pair in _nth(term)))
    if span in {DAY, WEEKDAY} and text == "?":
        terms = ["*"]
    plain = [term for term in terms if not (span is DAY and term in {"l", "L"})]
    values = frozenset(value for term in plain for value in _values(span, term))
    return Field(span, values, text.startswith(("*", "?")), last_day=plain != terms)


def _values(span: Span, term: str) -> Sequence[int]:
    """Return the values of `*`, a value or a range, each with or without a step."""
    said = _RANGE.fullmatch(term)
    if said is None:
        raise _Unexpected(term, span.expected)
    star, first, last, step = said.groups()
    by = 1 if step is None else _step(span, step)
    if star:
        return span.between(span.low, span.high, by)
    begin = _number(span, first)
    if last is not None:
        return span.between(begin, _number(span, last), by)
    return span.between(begin, begin if step is None else span.high, by)


def _number(span: Span, word: str) -> int:
    number = span.number(word)
    if number is None:
        raise _Unexpected(word, span.expected)
    return number


def _step(span: Span, text: str) -> int:
    step = int(text) if re.fullmatch(r"\d{1,3}", text, re.ASCII) else 0
    if not 1 <= step <= span.size:
        raise _Unexpected(
            f"/{text}", f'a step of 1 to {span.size}; elapsed time is another thing: "@every 90m"'
        )
    return step


def _nearest(text: str) -> int:
    """Return the day of "15w"; raise for a list, of which croniter takes one day alone."""
    said = _NEAREST.fullmatch(text)
    day = said and DAY.number(said[1] or said[2])
    if not day:
        raise _Unexpected(text, "W behind one day of 1 to 31, such as 15W, and no others")
    return day


def _nth(term: str) -> Sequence[tuple[int, int]]:
    """Return the pairs of "2#3", "mon-fri#1" or "l5"; raise for a day without # or L beside it."""
    if said := _NTH.fullmatch(term):
        first = _number(WEEKDAY, said[1])
        days = WEEKDAY.between(first, first if said[2] is None else _number(WEEKDAY, said[2]))
        return [(day, int(said[3])) for day in days]
    if said := _LAST_OF.fullmatch(term):
        return [(WEEKDAY.folded(_number(WEEKDAY, said[1] or said[2])), LAST)]
    raise _Unexpected(
        term, "# and 1 to 5 behind a day, such as 2#3, or L before it, of all days of a list"
    )
