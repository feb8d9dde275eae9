"""Entries of periodic tasks as commands print them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from qcore.app.client.entry_listing import EntryStatus, ListedEntry, TickOutcome
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.output import cell, is_terminal, print_pairs, print_table
from qcore.entrypoints.cli.task_output import moment_or_none
from qcore.entrypoints.written_times import duration, timestamp

TITLES: Final = ("QUEUE", "NAME", "STATUS", "SCHEDULE", "NEXT", "RUNS")
COLOURS: Final[Mapping[EntryStatus, str]] = {
    EntryStatus.ACTIVE: "green",
    EntryStatus.WAITING: "yellow",
    EntryStatus.PAUSED: "yellow",
    EntryStatus.STALE: "red",
    EntryStatus.UNREADABLE: "red",
}


def entry_record(listed: ListedEntry) -> Mapping[str, Any]:
    """Return an entry as JSON has it."""
    entry = listed.entry
    return {
        "queue": listed.queue,
        "name": listed.name,
        "status": listed.status,
        "schedule": None if entry is None else entry.schedule,
        "description": listed.schedule,
        "task": None if entry is None else entry.task.name,
        "declared_by": None if entry is None else entry.declared_by,
        "next": moment_or_none(listed.next),
        "runs": listed.runs,
        "unreadable_because": listed.why or None,
        "history": [_tick_record(each) for each in listed.history],
    }


def print_entries(entries: Sequence[ListedEntry], now: Moment) -> None:
    """Print a row for each entry."""
    if not is_terminal():
        print_table((), [_plain_row(each) for each in entries])
    elif entries:
        print_table(TITLES, [_row(each, now) for each in entries])


def print_entry(listed: ListedEntry) -> None:
    """Print a line for each thing that is known of an entry."""
    print_pairs([(name, text) for name, text in _pairs(listed) if text])


def _tick_record(outcome: TickOutcome) -> Mapping[str, Any]:
    tick = outcome.tick
    return {
        "at": timestamp(tick.at),
        "late_by_seconds": round(tick.late_by, 3),
        "task": tick.task,
        "note": tick.note,
        "state": outcome.state,
        "error": outcome.error,
    }


def _plain_row(listed: ListedEntry) -> Sequence[str]:
    spelled = listed.schedule if listed.entry is None else listed.entry.schedule
    cells = (listed.queue, listed.name, listed.status, spelled or "-")
    return *map(cell, cells), moment_or_none(listed.next) or "-", str(listed.runs)


def _row(listed: ListedEntry, now: Moment) -> Sequence[str]:
    return (
        cell(listed.queue),
        cell(listed.name),
        click.style(listed.status, fg=COLOURS.get(listed.status)),
        cell(listed.schedule),
        "-" if listed.next is None else f"in {duration(listed.next - now)}",
        f"{listed.runs:,}",
    )


def _pairs(listed: ListedEntry) -> Iterator[tuple[str, str]]:
    yield "queue", cell(listed.queue)
    yield "name", cell(listed.name)
    yield "status", click.style(listed.status, fg=COLOURS.get(listed.status))
    yield "unreadable", cell(listed.why)
    yield "schedule", cell(listed.schedule)
    if listed.entry is not None:
        yield "spelled", cell(listed.entry.schedule)
        yield "task", cell(listed.entry.task.name)
        yield "declared by", cell(listed.entry.declared_by or "")
    yield "next", moment_or_none(listed.next) or ""
    yield "runs", f"{listed.runs:,}"
    for outcome in listed.history:
        yield "tick", cell(_tick(outcome))


def _tick(outcome: TickOutcome) -> str:
    tick = outcome.tick
    parts = [timestamp(tick.at), f"late by {duration(tick.late_by)}"]
    state = outcome.state or (tick.task and "no longer stored")
    parts += [each for each in (tick.task, state, tick.note, outcome.error) if each]
    return ", ".join(parts)
