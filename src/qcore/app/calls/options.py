"""The options of a task: their names and types, and the fields of `NewTask` that they set.

A field that is given as it is stored needs a line in `Options` alone, and in `Changes` if it may be
changed; one that is given otherwise, such as a duration, needs a row of `OPTIONS` too.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, TypedDict

from qcore.domain.backoff import Backoff
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import ENDLESS, FIELDS, FOREVER
from qcore.domain.text import shown

Convert: TypeAlias = Callable[[Any, Moment], Any]


class Options(TypedDict, total=False):
    """Options of one task. Durations are seconds or timedeltas; datetimes must be aware."""

    queue: str
    max_retry: int | None
    """Retries after the first run; None for no last one."""
    max_crashes: int
    backoff: Backoff
    """The curve between retries, in place of the handler's own."""
    timeout: Duration | None
    """Of each run; None for no limit."""
    deadline: datetime | Moment
    """No run goes on past it."""
    delay: Duration
    """How long from now until it is due."""
    at: datetime | Moment
    """When it is due."""
    expires: Duration | datetime
    """Not to start after it: a moment, or how long from now."""
    priority: int
    task_id: str
    retention: Duration | None
    """How long the completed task and its result are kept; None for good."""
    group: str | None
    """What it waits in, to be made one task with the others of the group; see `aggregator`."""
    headers: Mapping[str, str]
    unique_for: Duration | None
    """How long no other task of the same name and arguments goes into the queue while this one
    lives; None for as long as it lives."""
    unique_key: str
    """What takes the place of the name and the arguments."""
    on_duplicate: Literal["reject", "replace", "rerun"]
    """"replace" takes the place of a task that has the key and does not run yet: so a task that is
    asked for again and again is run once, after the last time. "rerun" does so too, and where the
    other runs already, waits until it has ended."""
    on_conflict: Literal["replace", "keep"]
    """"keep" stays out where a task of this `task_id` has ended and is still stored."""
    tags: Collection[str]
    """Words to find it by: at most 10 of 1 to 64 characters without blanks and commas."""


class Changes(TypedDict, total=False):
    """Options that are to be others. Durations are seconds or timedeltas; datetimes are aware."""

    priority: int
    max_retry: int | None
    """None for no last one."""
    max_crashes: int
    backoff: Backoff | None
    """None leaves it to the handler again."""
    timeout: Duration | None
    deadline: datetime | Moment | None
    expires: Duration | datetime | None
    """A moment, or how long from now; None for no expiry."""
    retention: Duration | None
    """None for good."""
    headers: Mapping[str, str]
    tags: Collection[str]
    """All of them anew."""


def to_fields(options: Options, *, now: Moment) -> dict[str, Any]:
    """Return options as the fields of a `NewTask`; raise `InvalidTask` for one that is wrong."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            known = ", ".join(sorted(OPTIONS))
            raise InvalidTask(f"there is no option {name!r}: expected one of {known}")
        field, convert = OPTIONS[name]
        fields[field] = value if convert is None else convert(value, now)
    if "delay" in options and "at" in options:
        raise InvalidTask("both delay and at are given: expected one of them")
    return fields


def merge_options(first: Options, later: Options) -> Options:
    """Return both, `later` winning: an `at` takes the place of a `delay`, and the reverse."""
    both: Options = {**first, **later}
    if "at" in later and "delay" not in later:
        both.pop("delay", None)
    if "delay" in later and "at" not in later:
        both.pop("at", None)
    return both


def _expires(value: object, now: Moment) -> Moment:
    if isinstance(value, datetime):
        return moment_of(value, "expires")
    return now + seconds_of(value, "expires")


def _or_none(what: str) -> Callable[[object, Moment], float | None]:
    return lambda value, _: None if value is None else seconds_of(value, what)


def _backoff(value: object, _now: Moment) -> str:
    if not isinstance(value, Backoff):
        raise InvalidTask(
            f"backoff is {shown(value)}: expected a curve that can travel with the task (fixed, "
            "linear, exponential, Quartic); a function belongs to @q.task(retry=…)"
        )
    return value.spelled()


_NO_OPTIONS: Final = frozenset({"name", "payload", "content_type", "id", "due"})
"""Fields that no option of their name sets."""

OPTIONS: Final[Mapping[str, tuple[str, Convert | None]]] = {
    **{name: (name, None) for name in FIELDS if name not in _NO_OPTIONS},
    "task_id": ("id", None),
    "delay": ("due", lambda value, now: now + seconds_of(value, "delay")),
    "at": ("due", lambda value, _: moment_of(value, "at")),
    "deadline": ("deadline", lambda value, _: moment_of(value, "deadline")),
    "expires": ("expires", _expires),
    "timeout": ("timeout", _or_none("timeout")),
    "max_retry": ("max_retry", lambda value, _: ENDLESS if value is None else value),
    "retention": (
        "retention",
        lambda value, _: FOREVER if value is None else seconds_of(value, "retention"),
    ),
    "backoff": ("backoff", _backoff),
    "unique_for": ("unique_for", _or_none("unique_for")),
}
"""Option to the field it sets, and how its value becomes the field's: None where it is the same."""

CLEARED_BY_NONE: Final = frozenset(
    name
    for name, field in FIELDS.items()
    if field.is_changeable and field.default is None and name in OPTIONS
)
"""Options that a change to None takes away."""
