"""What may be changed of a task that is stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from attrs import evolve

from qcore.app.calls.chain_header import CHAIN_HEADER
from qcore.app.calls.options import CLEARED_BY_NONE, Changes, Options, to_fields
from qcore.domain.errors import InvalidTask
from qcore.domain.lifecycle import Rescheduled, Updated
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import NewTask
from qcore.domain.task import updated


class ChangesWithArguments(Changes, total=False):
    """What may be changed by who knows what the handler takes."""

    arguments: Mapping[str, Any]
    """All of its arguments anew, by name; they are checked as those of `enqueue` are."""


def update_of(changes: Changes, now: Moment, **fields: Any) -> Updated:
    """Return the order that makes changes; raise `InvalidTask` for what is wrong, or nothing."""
    given: dict[str, Any] = dict(changes)
    lifted = {name for name in CLEARED_BY_NONE & given.keys() if given[name] is None}
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
