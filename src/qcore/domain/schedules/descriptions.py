"""Cron expressions in words: no shorter than what they mean, as "at 09:00, Monday to Friday"."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Final

from qcore.domain.schedules.expressions import Expression
from qcore.domain.schedules.fields import LAST, Field

WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WHICH: Final = {LAST: "last", 1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
FEW: Final = 6
"""So many times of day, or days, are told one by one."""
RUN: Final = 3
"""So many in a row are told as the first to the last."""


def described(expression: Expression) -> str:
    """Return an expression in words, without its zone."""
    days = days_of(expression) or ("" if expression.is_hourly else "every day")
    months = "" if expression.month.is_all else f"in {_months(expression.month)}"
    return ", ".join(part for part in (_times(expression), days, months) if part)


def days_of(expression: Expression) -> str:
    """Return the days of an expression in words, nothing where it has all of them."""
    day, weekday = expression.day, expression.weekday
    if weekday.is_free:
        return "" if day.is_free else _days(day)
    if day.is_free:
        return _weekdays(weekday)
    link = "or on" if expression.is_either_day else "where that is"
    return f"{_days(day)} {link} {_weekdays(weekday)}"


def _times(expression: Expression) -> str:
    fields = [expression.second, expression.minute, expression.hour]
    if expression.second.values == frozenset({0}):
        fields = fields[1:]
    clock_times = list(product(*(sorted(field.values) for field in reversed(fields))))
    if len(clock_times) <= FEW:
        return f"at {_listed([':'.join(f'{part:02}' for part in each) for each in clock_times])}"
    return _by_fields(fields)


def _by_fields(fields: Sequence[Field]) -> str:
    """Return times as "every 5 minutes of hours 9 to 17": what "every" implies is left out."""
    finest, *coarser = fields
    words, is_every = _finest(finest)
    for field in coarser:
        if not (is_every and field.is_all):
            words += f" of {_coarser(field)}"
        is_every = field.is_all or _even_step(field) is not None
    return words


def _finest(field: Field) -> tuple[str, bool]:
    """Return a field's values, and whether they go on at an even pace."""
    step = 1 if field.is_all else _even_step(field)
    if step is None:
        return f"at {_numbered(field)}", False
    return (f"every {field.span.title}" if step == 1 else f"every {step} {field.span.title}s"), True


def _coarser(field: Field) -> str:
    step = 1 if field.is_all else _even_step(field)
    if step is None:
        return _numbered(field)
    return (
        f"every {field.span.title}" if step == 1 else f"every {_ordinal(step)} {field.span.title}"
    )


def _numbered(field: Field) -> str:
    plural = "s" if len(field.values) > 1 else ""
    return f"{field.span.title}{plural} {_runs(sorted(field.values), str)}"


def _regular_step(field: Field) -> int | None:
    """Return the step of `*/2` and the like, None for values that are not apart alike."""
    first, second, *_ = [*sorted(field.values), field.span.low, field.span.low]
    step = second - first
    is_regular = step > 1 and field.values == frozenset(_every(field, step))
    return step if is_regular else None


def _even_step(field: Field) -> int | None:
    """Return the step of values that are as far apart at the end of their span as within it."""
    step = _regular_step(field)
    return step if step and field.span.size % step == 0 else None


def _every(field: Field, step: int) -> Iterable[int]:
    return field.span.between(field.span.low, field.span.high, step)


def _days(day: Field) -> str:
    if day.is_all:
        return "on every day of the month"
    if day.nearest is not None:
        return f"on the weekday nearest to the {_ordinal(day.nearest)} of the month"
    if len(day.values) > FEW and (step := _regular_step(day)):
        return f"on every {_ordinal(step)} day of the month from the 1st"
    words = [f"the {_runs(sorted(day.values), _ordinal)}"] if day.values else []
    words += ["the last day"] if day.last_day else []
    return f"on {_listed(words)} of the month"


def _weekdays(weekday: Field) -> str:
    if weekday.nth:
        nth = sorted(weekday.nth, key=lambda pair: (pair[1] or len(WHICH), _from_monday(pair[0])))
        days = [f"{WHICH[which]} {WEEKDAYS[day]}" for day, which in nth]
        return f"the {_listed(days)} of the month"
    return _runs(sorted(map(_from_monday, weekday.values)), lambda day: WEEKDAYS[day % 7])


def _months(month: Field) -> str:
    return _runs(sorted(month.values), lambda number: MONTHS[number - 1])


def _from_monday(weekday: int) -> int:
    """Return 1 for a Monday to 7 for a Sunday."""
    return weekday or 7


def _ordinal(number: int) -> str:
    teens = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _runs(numbers: Sequence[int], name: Callable[[int], str]) -> str:
    """Return sorted numbers as words, with three and more in a row as "first to last"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return _listed([words for run in runs for words in _run(run, name)])


def _run(run: Sequence[int], name: Callable[[int], str]) -> Iterable[str]:
    return [f"{name(run[0])} to {name(run[-1])}"] if len(run) >= RUN else map(name, run)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
