"""What has ended in a queue, by task name and time: counts, and histograms of seconds.

What is stored of a name in a period is a flat map of *fields* to numbers, so that a store adds them
up as they come, whatever they mean: `S` and the other letters of `Outcome` count what ended, `w12`
how many of the waits were in bucket 12, `r0` how many of the runs in bucket 0.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from math import ceil
from operator import attrgetter
from typing import Final, Literal, Self, TypeAlias, TypeVar

from attrs import field

from qcore.domain.errors import InvalidOption
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.histogram import BOUNDS, Histogram, add, bucketed
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import (
    Cancelled,
    Crashed,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Revoked,
    Snoozed,
    Succeeded,
    Transition,
)

T = TypeVar("T")

FieldCounts: TypeAlias = Mapping[str, int]
"""Field to number: what is stored of a name in a period."""
Rows: TypeAlias = dict[str, dict[str, int]]
"""Name to field to number: what is stored of a period."""

Ending: TypeAlias = tuple[str, Transition, State, Verdict | None]
"""A task's name, what led it to a state, that state, and the verdict, None where it was none. A
tuple, as it is made for each task; not all of them end a run or a task."""

MAX_NAMES: Final = 100
"""Names that have rows of their own in a queue and a period: names come from users."""
OTHER: Final = "(other)"
"""The name under which all further ones are counted together."""


class Outcome(StrEnum):
    """How a run ended, or a task that did not run: each counts as one of these."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    """It failed, and is to run again."""
    EXHAUSTED = "exhausted"
    """It failed, and its retry budget is spent."""
    REJECTED = "rejected"
    """It failed for good, whatever was left of its budget."""
    SNOOZED = "snoozed"
    REVOKED = "revoked"
    CRASHED = "crashed"
    """Its worker was lost, and it is to run again."""
    POISONED = "poisoned"
    """Its worker was lost, for the last time that `max_crashes` allows."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FIELD_OF: Final[Mapping[Outcome, str]] = {
    Outcome.SUCCEEDED: "S",
    Outcome.RETRIED: "R",
    Outcome.EXHAUSTED: "E",
    Outcome.REJECTED: "J",
    Outcome.SNOOZED: "Z",
    Outcome.REVOKED: "V",
    Outcome.CRASHED: "C",
    Outcome.POISONED: "P",
    Outcome.CANCELLED: "X",
    Outcome.EXPIRED: "T",
}
"""Never changed, as it is what stores have."""

_OUTCOME_OF: Final = {stored: outcome for outcome, stored in FIELD_OF.items()}
_COUNTED: Final[Mapping[type, str]] = {
    event: FIELD_OF[outcome]
    for event, outcome in {
        Succeeded: Outcome.SUCCEEDED,
        Failed: Outcome.RETRIED,
        Exhausted: Outcome.EXHAUSTED,
        Rejected: Outcome.REJECTED,
        Snoozed: Outcome.SNOOZED,
        Revoked: Outcome.REVOKED,
        Crashed: Outcome.CRASHED,
        Cancelled: Outcome.CANCELLED,
        Expired: Outcome.EXPIRED,
    }.items()
}
_SUCCEEDED: Final = _COUNTED[Succeeded]
_waited: Final = attrgetter("waited")
_ran: Final = attrgetter("ran")
_BUCKETS: Final = range(len(BOUNDS) + 1)
_WAIT_OF: Final = {f"w{bucket}": bucket for bucket in _BUCKETS}
_RUN_OF: Final = {f"r{bucket}": bucket for bucket in _BUCKETS}


class Resolution(IntEnum):
    """How long a period is, in seconds."""

    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400

    @property
    def kept(self) -> float:
        """Return for how many seconds its periods are kept: three hours, two days, or 90 days."""
        return _KEPT[self]

    @property
    def coarser(self) -> "Resolution | None":
        """Return the next one, whose periods are longer and kept for longer; None for days."""
        return next((each for each in Resolution if each > self), None)

    @property
    def periods(self) -> int:
        """Return how many periods that is, the current one not counted."""
        return int(_KEPT[self] // self)

    def start(self, moment: Moment) -> int:
        """Return when the period begins that a moment is in."""
        return int(moment // self) * self.value

    def starts(self, since: Moment, until: Moment) -> range:
        """Return when the periods begin that are between two moments, even in part.

        None that ended longer before `until` than it is kept.
        """
        first = self.start(max(since, until - _KEPT[self]))
        return range(first, ceil(until / self) * self.value, self.value)

    @classmethod
    def of(cls, given: object) -> Self:
        """Return the resolution of a name; raise `InvalidOption` for one that is none."""
        if isinstance(given, cls):
            return given
        found = [each for each in cls if each.name.lower() == given]
        if not found:
            raise InvalidOption(f"resolution is {given!r}: expected 'minute', 'hour' or 'day'")
        return found[0]

    @classmethod
    def finest(cls, ago: float) -> "Resolution":
        """Return the finest one in which all is kept that has ended in so many seconds."""
        return next((each for each in cls if ago <= _KEPT[each]), Resolution.DAY)


_KEPT: Final = {
    Resolution.MINUTE: 3 * 3_600.0,
    Resolution.HOUR: 2 * 86_400.0,
    Resolution.DAY: 90 * 86_400.0,
}

# --- statistics --------------------------------------------------------------------------------


@record
class Statistics:
    """What ended: how much of it, and how long it had waited and run."""

    counts: Mapping[Outcome, int] = field(default=FrozenDict(), hash=False)
    """Outcome to number, those without any left out."""
    waits: Histogram = Histogram()
    """Seconds from the moment at which a task was due to the start of its run."""
    runs: Histogram = Histogram()
    """Seconds from the start of a run to its end."""

    def number(self, *outcomes: Outcome) -> int:
        """Return how often any of these outcomes was counted."""
        return sum(self.counts.get(each, 0) for each in outcomes)

    @property
    def processed(self) -> int:
        """How many runs have ended, in whatever way: also by a crash, or to be run again later."""
        return self.succeeded + self.failed + self.crashed + self.snoozed + self.revoked

    @property
    def succeeded(self) -> int:
        """How many runs succeeded."""
        return self.number(Outcome.SUCCEEDED)

    @property
    def failed(self) -> int:
        """How many runs failed: those that are retried, and the last ones of tasks."""
        return self.number(Outcome.RETRIED, Outcome.EXHAUSTED, Outcome.REJECTED)

    @property
    def retried(self) -> int:
        """How many runs failed and are to be run again."""
        return self.number(Outcome.RETRIED)

    @property
    def dead(self) -> int:
        """How many tasks ended for good without success: by a failure or by a crash."""
        return self.number(Outcome.EXHAUSTED, Outcome.REJECTED, Outcome.POISONED)

    @property
    def snoozed(self) -> int:
        """How many runs asked for a later one."""
        return self.number(Outcome.SNOOZED)

    @property
    def revoked(self) -> int:
        """How many runs found their task unwanted."""
        return self.number(Outcome.REVOKED)

    @property
    def crashed(self) -> int:
        """How many runs were lost with their worker."""
        return self.number(Outcome.CRASHED, Outcome.POISONED)

    @property
    def cancelled(self) -> int:
        """How many tasks were cancelled, whether they ran or waited."""
        return self.number(Outcome.CANCELLED)

    @property
    def expired(self) -> int:
        """How many tasks were not started before they expired."""
        return self.number(Outcome.EXPIRED)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Return the statistics of both."""
        return merged((self, other))


def merged(each: Iterable[Statistics]) -> Statistics:
    """Return the statistics of all of them together."""
    counts: dict[Outcome, int] = {}
    waits: dict[int, int] = {}
    runs: dict[int, int] = {}
    for one in each:
        add(counts, one.counts)
        add(waits, one.waits.counts)
        add(runs, one.runs.counts)
    return Statistics(counts, Histogram(waits), Histogram(runs))


@record
class StatisticsRow:
    """What ended of one name in a queue, in the period that begins at `start`."""

    queue: str
    name: str
    start: Moment
    statistics: Statistics


def totals(
    rows: Iterable[StatisticsRow], *by: Literal["queue", "name", "start"]
) -> dict[tuple[str | Moment, ...], Statistics]:
    """Return the statistics of rows by what they have in common, in the order of the rows."""
    groups: defaultdict[tuple[str | Moment, ...], list[Statistics]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, each) for each in by)].append(row.statistics)
    return {key: merged(each) for key, each in groups.items()}


# --- as stores have them -----------------------------------------------------------------------


def statistics_of(stored: FieldCounts) -> Statistics:
    """Decode what is stored of a name in a period.

    Fields that are not known, as of a newer qcore, and numbers that are no counts, as somebody has
    edited them, are passed over.
    """
    counts: dict[Outcome, int] = {}
    waits: dict[int, int] = {}
    runs: dict[int, int] = {}
    for key, number in stored.items():
        if number <= 0:
            continue
        if key in _OUTCOME_OF:
            counts[_OUTCOME_OF[key]] = number
        elif key in _WAIT_OF:
            waits[_WAIT_OF[key]] = number
        elif key in _RUN_OF:
            runs[_RUN_OF[key]] = number
    return Statistics(counts, Histogram(waits), Histogram(runs))


def tallied(endings: Collection[Ending]) -> dict[str, dict[str, int]]:
    """Return name to field to what is to be added to what is stored of a period.

    A worker's batch is most often of one name, and all have succeeded: then no statement here is
    executed for each of them, as that would cost every task of every queue.
    """
    if not endings:
        return {}
    names, events, _, verdicts = zip(*endings, strict=True)
    if names.count(names[0]) == [*map(type, events)].count(Succeeded) == len(names):
        return {names[0]: _fields(_SUCCEEDED, verdicts)}
    groups: defaultdict[tuple[str, str | None], list[Verdict | None]] = defaultdict(list)
    for name, event, state, verdict in endings:
        groups[name, _field_of(event, state)].append(verdict)
    found: dict[str, dict[str, int]] = {}
    for (name, stored), some in groups.items():
        if stored is not None:
            add(found.setdefault(name, {}), _fields(stored, some))
    return found


def tallied_successes(
    names: Sequence[str], verdicts: Sequence[Verdict]
) -> dict[str, dict[str, int]]:
    """Return the same of runs that have all succeeded, given by the names of their tasks."""
    if names.count(names[0]) == len(names):
        return {names[0]: _fields(_SUCCEEDED, verdicts)}
    runs = zip(names, verdicts, strict=True)
    return tallied([(name, verdict.outcome, State.GONE, verdict) for name, verdict in runs])


def _fields(stored: str, verdicts: Sequence[Verdict | None]) -> dict[str, int]:
    """Return what is added by what ended in one way."""
    try:
        waits, runs = bucketed([*map(_waited, verdicts)]), bucketed([*map(_ran, verdicts)])
    except (TypeError, AttributeError):
        # there are some without times, or no verdicts: None cannot be compared
        timed = [each for each in verdicts if each is not None and each.ran is not None]
        waits = bucketed([each.waited or 0.0 for each in timed])
        runs = bucketed([each.ran or 0.0 for each in timed])
    fields = {stored: len(verdicts)}
    for bucket, number in waits.items():
        fields[f"w{bucket}"] = number
    for bucket, number in runs.items():
        fields[f"r{bucket}"] = number
    return fields


def _field_of(event: Transition, state: State) -> str | None:
    """Return the field that counts an event, None for one that ends no run and no task."""
    if isinstance(event, Snoozed) and event.unhandled:
        return None
    if isinstance(event, Crashed) and state is State.DEAD:
        return FIELD_OF[Outcome.POISONED]
    return _COUNTED.get(type(event))


def outcome_of(event: Transition, state: State) -> Outcome | None:
    """Return what an event counts as that led to a state; None if it ends no run and no task."""
    stored = _field_of(event, state)
    return None if stored is None else _OUTCOME_OF[stored]


def row_name(name: str, known: Collection[str]) -> str:
    """Return the name of the row that counts a name, where these have rows in the period."""
    return name if name in known or len(known) - (OTHER in known) < MAX_NAMES else OTHER


def add_rows(rows: Rows, more: Mapping[str, FieldCounts]) -> None:
    """Add what ended, by name, to the rows of a queue's period; too many names share one."""
    for name, counts in more.items():
        add(rows.setdefault(row_name(name, rows), {}), counts)


def add_periods(periods: dict[int, Rows], more: Mapping[int, Rows], by: Resolution) -> None:
    """Add periods of a queue, the oldest first, to the periods of a resolution they are in."""
    for start, rows in sorted(more.items()):
        add_rows(periods.setdefault(by.start(start), {}), rows)
