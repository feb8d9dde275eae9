"""What may be said of a task beside its arguments."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from qcore.domain.backoff import Backoff
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of


class Options(TypedDict, total=False):
    """Options of one task. Durations are seconds or timedeltas; datetimes must be aware."""

    queue: str
    max_retry: int
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
    retention: Duration
    """How long the completed task and its result are kept."""
    headers: Mapping[str, str]


_AS_THEY_ARE = frozenset({"queue", "max_retry", "max_crashes", "priority", "headers"})


def fields_of(options: Options, *, now: Moment) -> dict[str, Any]:
    """Return options as the fields of a `NewTask`; raise `InvalidTask` for one that is wrong."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if name in _AS_THEY_ARE:
            fields[name] = value
        else:
            field, moment = _converted(name, value, now)
            fields[field] = moment
    if "delay" in options and "at" in options:
        raise InvalidTask("both delay and at are given: expected one of them")
    return fields


def _converted(name: str, value: Any, now: Moment) -> tuple[str, Any]:
    match name:
        case "delay":
            return "due", now + seconds_of(value, name)
        case "at":
            return "due", moment_of(value, name)
        case "deadline":
            return name, moment_of(value, name)
        case "expires" if isinstance(value, timedelta | int | float):
            return name, now + seconds_of(value, name)
        case "expires":
            return name, moment_of(value, name)
        case "timeout":
            return name, None if value is None else seconds_of(value, name)
        case "retention":
            return name, seconds_of(value, name)
        case "task_id":
            return "id", value
        case "backoff" if isinstance(value, Backoff):
            return name, value.spelled()
        case "backoff":
            raise InvalidTask(
                f"backoff is {value!r}: expected a curve that can travel with the task (fixed, "
                "linear, exponential, Quartic); a function belongs to @q.task(retry=…)"
            )
        case _:
            known = ", ".join(sorted(Options.__annotations__))
            raise InvalidTask(f"there is no option {name!r}: expected one of {known}")
