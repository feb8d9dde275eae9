"""What may be changed of a task that is stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, cast

from attrs import evolve

from qcore.app.calls.chain_header import CHAIN_HEADER
from qcore.app.calls.options import Options, to_fields
from qcore.domain.backoff import Backoff
from qcore.domain.errors import InvalidTask
from qcore.domain.lifecycle import Rescheduled, Updated
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import NewTask
from qcore.domain.task import updated


class Changes(TypedDict, total=False):
    """Options that are to be others. Durations are seconds or timedeltas; datetimes are aware."""

    priority: int
    max_retry: int
    max_crashes: int
    backoff: Backoff | None
    """None leaves it to the handler again."""
    timeout: Duration | None
    deadline: datetime | Moment | None
    expires: Duration | datetime | None
    """A moment, or how long from now; None for no expiry."""
    retention: Duration
    headers: Mapping[str, str]


class ChangesWithArguments(Changes, total=False):
    """What may be changed by who knows what the handler takes."""

    arguments: Mapping[str, Any]
    """All of its arguments anew, by name; they are checked as those of `enqueue` are."""


_NONE_IS_NONE = frozenset({"backoff", "deadline", "expires"})


def update_of(changes: Changes, now: Moment, **fields: Any) -> Updated:
    """Return the order that makes changes; raise `InvalidTask` for what is wrong, or nothing."""
    given: dict[str, Any] = dict(changes)
    lifted = {name for name in _NONE_IS_NONE & given.keys() if given[name] is None}
    options = {name: value for name, value in given.items() if name not in lifted}
    fields |= to_fields(cast("Options", options), now=now) | dict.fromkeys(lifted)
    if not fields:
        raise InvalidTask("nothing is to be changed: expected an option such as priority=…")
    if "due" in fields:
        raise InvalidTask("when it is due is no option to update: expected reschedule(at=…)")
    return updated(**fields)


def fitted(order: Updated, task: NewTask) -> Updated:
    """Return an order with what travels in a task's headers and is not the caller's."""
    if CHAIN_HEADER not in task.headers or "headers" not in order.changes:
        return order
    headers = cast("Mapping[str, str]", order.changes["headers"])
    kept = {**headers, CHAIN_HEADER: task.headers[CHAIN_HEADER]}
    return evolve(order, changes={**order.changes, "headers": kept})


def rescheduled(at: datetime | Moment | None, delay: Duration | None, now: Moment) -> Rescheduled:
    """Return the order to run at a moment, or so long from now; raise `InvalidTask` for neither."""
    if at is not None and delay is None:
        return Rescheduled(moment_of(at, "at"))
    if delay is not None and at is None:
        return Rescheduled(moment_of(now + seconds_of(delay, "delay"), "delay"))
    raise InvalidTask("expected at=… or delay=…, and not both")
