"""Queues as commands print them: a bar of tasks by state, or numbers."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

import click

from qcore.app.client.queries import STATES
from qcore.app.client.queue_listing import QueueSummary
from qcore.domain.queue_limits import Limits
from qcore.domain.states import State
from qcore.entrypoints.cli.output import cell, is_terminal, print_table
from qcore.entrypoints.cli.task_output import COLOURS
from qcore.entrypoints.written_times import duration

TITLES: Final = ("QUEUE", "BY STATE", "TASKS", "FIRST WAITS", "LIMITS")
WIDTH: Final = 16
"""Characters of a bar."""
FILLED: Final = "█"
NOTHING: Final = "·"


def print_queues(queues: Sequence[QueueSummary]) -> None:
    """Print a row for each queue: a bar of its states in a terminal, else a number for each."""
    if not is_terminal():
        print_table((), [plain_row(each) for each in queues])
    elif queues:
        print_table(TITLES, [_row(each) for each in queues])


def queue_record(queue: QueueSummary) -> Mapping[str, Any]:
    """Return a queue as JSON has it."""
    return {
        "name": queue.name,
        "tasks": {state.value: queue.sizes[state] for state in STATES},
        "waited_seconds": None if queue.waited is None else round(queue.waited, 3),
        "limits": None if queue.limits is None else limits_record(queue.limits),
    }


def limits_record(limits: Limits) -> Mapping[str, Any]:
    """Return the limits of a queue as JSON has them."""
    rate = limits.rate
    return {
        "paused": limits.is_paused,
        "rate": None if rate is None else {"count": rate.count, "per_seconds": rate.per},
        "in_flight": limits.in_flight,
    }


def limits_text(limits: Limits | None) -> str:
    """Return limits in words, "-" for none."""
    if limits is None:
        return "-"
    told = ["paused"] if limits.is_paused else []
    if limits.rate is not None:
        told.append(f"{limits.rate.count:,} in {limits.rate.per:g} s")
    if limits.in_flight is not None:
        told.append(f"{limits.in_flight:,} at a time")
    return ", ".join(told) or "-"


def bar(sizes: Mapping[State, int], width: int = WIDTH) -> str:
    """Return a bar in which each state has its share; none that has tasks is left out."""
    if not any(sizes.values()):
        return click.style(NOTHING * width, dim=True)
    shares = bar_shares(sizes, width)
    return "".join(click.style(FILLED * n, fg=COLOURS[state]) for state, n in shares.items())


def bar_shares(sizes: Mapping[State, int], width: int) -> Mapping[State, int]:
    """Return how many characters of a bar each state has, of those that have tasks."""
    total = sum(sizes.values())
    held = {state: number for state, number in sizes.items() if number}
    shares = {state: ceil(number * width / total) for state, number in held.items()}
    while sum(shares.values()) > max(width, len(shares)):
        # rounding up has made it too long: the widest state has the most to give
        shares[max(shares, key=lambda state: shares[state])] -= 1
    return shares


def _row(queue: QueueSummary) -> Sequence[str]:
    numbers = [f"{n:,} {state}" for state, n in queue.sizes.items() if n]
    limits = limits_text(queue.limits)
    return (
        cell(queue.name),
        bar(queue.sizes),
        ", ".join(numbers) or "-",
        "-" if queue.waited is None else duration(queue.waited),
        click.style(limits, fg="yellow") if queue.is_paused else limits,
    )


def plain_row(queue: QueueSummary) -> Sequence[str]:
    """Return a queue as cells for a program."""
    waited = "-" if queue.waited is None else f"{queue.waited:.3f}"
    numbers = [str(queue.sizes[state]) for state in STATES]
    return cell(queue.name), *numbers, waited, limits_text(queue.limits)
