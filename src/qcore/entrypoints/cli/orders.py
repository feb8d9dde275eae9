"""What an operator can order for tasks, one or many: a table of verbs, and their options."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from qcore.app.client.bulk_moves import Move
from qcore.app.client.changes import reschedule_to
from qcore.domain.lifecycle import Archived, Cancelled, Deleted, RunNow
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.text import storable
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.times import Instant, Seconds

C = TypeVar("C", bound=Callable[..., Any] | click.Command)


@record
class Order:
    """What is ordered, with the values of its options."""

    verb: str
    reason: str | None = None
    """Of cancel and archive: the task keeps it as its error."""
    at: datetime | None = None
    delay: float | None = None

    def move(self, now: Moment) -> Move:
        """Return it as a store takes it; raise `InvalidTask` for a moment that makes no sense."""
        return VERBS[self.verb].move(self, now)


@record
class Verb:
    """One that can be ordered."""

    text: str
    """What it does to tasks."""
    move: Callable[[Order, Moment], Move]
    has_reason: bool = False
    has_time: bool = False


def _run_now(_: Order, __: Moment) -> Move:
    return RunNow()


def _deleted(_: Order, __: Moment) -> Move:
    return Deleted()


def _cancelled(order: Order, _: Moment) -> Move:
    return Cancelled() if order.reason is None else Cancelled(storable(order.reason))


def _archived(order: Order, _: Moment) -> Move:
    return Archived() if order.reason is None else Archived(storable(order.reason))


def _rescheduled(order: Order, now: Moment) -> Move:
    if (order.at is None) is (order.delay is None):
        raise Wrong("expected --at MOMENT or --delay DURATION, and not both")
    return reschedule_to(order.at, order.delay, now)


VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb("Make them pending at once, with fresh budgets.", _run_now),
    "cancel": Verb(
        "End them as dead; handlers that run are cancelled.", _cancelled, has_reason=True
    ),
    "archive": Verb("Set them aside: they are kept, and do not run.", _archived, has_reason=True),
    "delete": Verb("Remove them, and all that is kept of them.", _deleted),
    "reschedule": Verb("Make them due at another time.", _rescheduled, has_time=True),
}


def order_options(verb: str) -> Callable[[C], C]:
    """Return what adds the options of a verb; they are the fields of `Order`."""

    def add(command: C) -> C:
        if VERBS[verb].has_reason:
            text = "Why: the task keeps it as its error."
            command = click.option("--reason", metavar="TEXT", help=text)(command)
        if VERBS[verb].has_time:
            moment = "When, such as 2026-11-30T08:00Z."
            command = click.option("--at", type=Instant(), metavar="MOMENT", help=moment)(command)
            text = "How long from now, such as 2h."
            command = click.option("--delay", type=Seconds(), metavar="DURATION", help=text)(
                command
            )
        return command

    return add
