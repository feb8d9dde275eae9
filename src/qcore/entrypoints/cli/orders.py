"""What an operator can order for tasks, one or many: a table of verbs, and their options."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Self, TypedDict, TypeVar, cast

import click
from attrs import field

from qcore.app.calls.options import Changes
from qcore.app.client.auditing import VARIABLE, default_operator
from qcore.app.client.bulk_moves import Move
from qcore.app.client.changes import changes_of, reschedule_to
from qcore.app.client.moving import MoveTo
from qcore.domain.audit import attributed
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.transitions import Archived, BroughtBack, Cancelled, Deleted, Discarded, RunNow
from qcore.entrypoints.cli.completion_values import queue_name
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.times import NONE, Instant, OrNone, Seconds

C = TypeVar("C", bound=Callable[..., Any] | click.Command)


@record
class Order:
    """What is ordered, with the values of its options."""

    verb: str
    by: str
    """Who gives it."""
    reason: str | None = None
    at: datetime | None = None
    delay: float | None = None
    to: str | None = None
    """Of move: the queue."""
    changes: Changes = field(factory=Changes, hash=False)
    """Of update: new values of options."""

    @classmethod
    def of(cls, verb: str, options: Mapping[str, Any]) -> Self:
        """Return the order that the options of its command give."""
        own = {name: options.get(name) for name in ("reason", "at", "delay", "to")}
        changes = {
            name: None if value == NONE else value
            for name, value in options.items()
            if name in CHANGES and value not in {None, ()}
        }
        return cls(verb, options["by"], **own, changes=cast("Changes", changes))

    def move(self, now: Moment) -> Move:
        """Return it as a store takes it; raise `InvalidTask` for a value that makes no sense."""
        return attributed(VERBS[self.verb].move(self, now), self.by, self.reason)


@record
class Verb:
    """One that can be ordered."""

    text: str
    """What it does to tasks."""
    move: Callable[[Order, Moment], Move]
    reason_is: str = "Why: the tasks keep it in their audit trail."
    has_time: bool = False
    has_changes: bool = False
    has_queue: bool = False


def _run_now(_: Order, __: Moment) -> Move:
    return RunNow()


def _deleted(_: Order, __: Moment) -> Move:
    return Deleted()


def _cancelled(_: Order, __: Moment) -> Move:
    return Cancelled()


def _archived(_: Order, __: Moment) -> Move:
    return Archived()


def _rescheduled(order: Order, now: Moment) -> Move:
    if (order.at is None) is (order.delay is None):
        raise Wrong("expected --at MOMENT or --delay DURATION, and not both")
    return reschedule_to(order.at, order.delay, now)


def _moved(order: Order, _: Moment) -> Move:
    return MoveTo(order.to or "")


def _updated(order: Order, now: Moment) -> Move:
    if not order.changes:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in CHANGES if name != "tags")
        raise Wrong(f"nothing is to be changed: expected one or more of {flags}, --tag")
    return changes_of(order.changes, now)


_TO_ERROR: Final = "Why: the tasks keep it as their error, and in their audit trail."

VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb("Make them pending at once, with fresh budgets.", _run_now),
    "cancel": Verb(
        "End them as dead; handlers that run are cancelled.", _cancelled, reason_is=_TO_ERROR
    ),
    "archive": Verb(
        "Set them aside: they are kept, and do not run.", _archived, reason_is=_TO_ERROR
    ),
    "discard": Verb(
        "Set them aside; bring-back undoes it while archived ones are kept.",
        lambda _, __: Discarded(),
    ),
    "bring-back": Verb(
        "Take those that were discarded back to where they were.", lambda _, __: BroughtBack()
    ),
    "delete": Verb("Remove them, and all that is kept of them.", _deleted),
    "reschedule": Verb("Make them due at another time.", _rescheduled, has_time=True),
    "update": Verb("Change their options; they stay where they are.", _updated, has_changes=True),
    "move": Verb("Move them to another queue, as they are.", _moved, has_queue=True),
}

CHANGES: Final[Mapping[str, tuple[str, Any, str]]] = {
    "priority": ("N", int, "Higher goes first."),
    "max_retry": ("N", OrNone(click.INT), "Retries after the first run; or none, without end."),
    "max_crashes": ("N", int, "The crash that is the last."),
    "timeout": ("DURATION", OrNone(Seconds()), "Of each run; or none."),
    "deadline": ("MOMENT", OrNone(Instant()), "No run goes on past it; or none."),
    "expires": (
        "DURATION",
        OrNone(Seconds()),
        "Not to start after so long from now; or none.",
    ),
    "retention": (
        "DURATION",
        OrNone(Seconds()),
        "How long a completed one is kept; or none, for good.",
    ),
    "tags": ("TEXT", str, "All of them anew; once for each."),
}
"""The options of update, by the names that `Changes` has for them."""


def by_option(command: C) -> C:
    """Add the option --by, the parameter `by`."""
    text = f"Who does it. [default: {VARIABLE}, else user@host]"
    option = click.option(
        "--by", envvar=VARIABLE, default=default_operator, metavar="NAME", help=text
    )
    return option(command)


class Why(TypedDict):
    """The values of --by and --reason."""

    by: str
    reason: str | None


def why_options(command: C) -> C:
    """Add the options --by and --reason of what no task keeps in its audit trail: see `Why`."""
    text = "Why: it stands in the line about it on standard error."
    return click.option("--reason", metavar="TEXT", help=text)(by_option(command))


def order_options(verb: str) -> Callable[[C], C]:
    """Return what adds the options of a verb; they are the fields of `Order`."""

    def add(command: C) -> C:
        reason = VERBS[verb].reason_is
        command = click.option("--reason", metavar="TEXT", help=reason)(by_option(command))
        if VERBS[verb].has_changes:
            for name, (metavar, kind, text) in reversed([*CHANGES.items()]):
                flag = "--tag" if name == "tags" else f"--{name.replace('_', '-')}"
                command = click.option(
                    flag, name, type=kind, metavar=metavar, help=text, multiple=name == "tags"
                )(command)
        if VERBS[verb].has_queue:
            text = "The queue to which they go."
            command = click.option(
                "--to", required=True, metavar="QUEUE", help=text, shell_complete=queue_name
            )(command)
        if VERBS[verb].has_time:
            moment = "When, such as 2026-11-30T08:00Z."
            command = click.option("--at", type=Instant(), metavar="MOMENT", help=moment)(command)
            text = "How long from now, such as 2h."
            command = click.option("--delay", type=Seconds(), metavar="DURATION", help=text)(
                command
            )
        return command

    return add
