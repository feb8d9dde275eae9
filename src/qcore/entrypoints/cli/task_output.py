"""Tasks as commands print them: rows of a table, records of a JSON document."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from attrs import asdict

from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.cli.output import cell, is_terminal, print_table
from qcore.entrypoints.written_times import duration, timestamp

TITLES: Final = ("QUEUE", "ID", "NAME", "STATE", "ENQUEUED", "ATTEMPTS", "ERROR")
COLOURS: Final[Mapping[State, str]] = {
    State.SCHEDULED: "cyan",
    State.PENDING: "blue",
    State.AGGREGATING: "magenta",
    State.ACTIVE: "green",
    State.RETRY: "yellow",
    State.COMPLETED: "white",
    State.ARCHIVED: "bright_black",
    State.DEAD: "red",
}
WIDEST_ERROR: Final = 60
"""Characters of an error in a table."""


def task_record(task: Task) -> dict[str, Any]:
    """Return a task as JSON has it, without its arguments."""
    origin = task.origin
    return {
        "queue": task.queue,
        "id": task.id,
        "name": task.name,
        "state": task.state,
        "priority": task.spec.priority,
        "tags": list(task.spec.tags),
        "group": task.spec.group,
        "created": timestamp(task.created),
        "due": timestamp(task.due),
        "finished": moment_or_none(task.finished),
        "attempts": task.attempts,
        "failures": task.failures,
        "crashes": task.crashes,
        "error": task.error,
        "origin": None if origin is None else asdict(origin),
    }


def print_tasks(tasks: Sequence[Task], now: Moment) -> None:
    """Print a row for each task: for a person in a terminal, else with moments and whole errors."""
    if is_terminal():
        if tasks:
            print_table(TITLES, [_row(task, now) for task in tasks])
        return
    print_table((), [_plain_row(task) for task in tasks])


def coloured(state: State) -> str:
    """Return a state in its colour."""
    return click.style(state, fg=COLOURS.get(state))


def moment_or_none(moment: Moment | None) -> str | None:
    """Return a moment as text, None for none."""
    return None if moment is None else timestamp(moment)


def in_json(data: object) -> bool:
    """Return whether data has a form in JSON: not bytes, and not what is nested too deeply."""
    try:
        json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _row(task: Task, now: Moment) -> Sequence[str]:
    error = (task.error or "").strip()
    short = error if len(error) <= WIDEST_ERROR else f"{error[:WIDEST_ERROR]}…"
    return (
        cell(task.queue),
        cell(task.id),
        cell(task.name),
        coloured(task.state),
        f"{duration(now - task.created)} ago",
        f"{task.attempts:,}",
        cell(short),
    )


def _plain_row(task: Task) -> Sequence[str]:
    times = timestamp(task.created), timestamp(task.due)
    cells = (task.queue, task.id, task.name, task.state, *times, str(task.attempts))
    return tuple(map(cell, (*cells, task.error or "-")))
