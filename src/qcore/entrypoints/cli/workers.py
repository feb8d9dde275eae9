"""`qcore workers`: which workers there are, and what each of them does."""

from collections.abc import Sequence
from typing import Any, Final

import click

from qcore.domain.moments import Moment
from qcore.domain.workers import Condition, RunningTask, WorkerInfo
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import queue_name, task_name
from qcore.entrypoints.cli.errors import NotFound
from qcore.entrypoints.cli.output import cell, print_json, print_table
from qcore.entrypoints.written_times import duration, timestamp

TITLES: Final = ("WORKER", "STATE", "SEEN", "STARTED", "TASKS", "LOOP LATE BY", "QUEUES")
TITLES_OF_RUNS: Final = ("WORKER", "FOR", "QUEUE", "TASK", "NAME")
COLOURS: Final = {
    Condition.RUNNING: "green",
    Condition.PAUSED: "yellow",
    Condition.STOPPING: "yellow",
    Condition.BLOCKED: "red",
    Condition.SILENT: "red",
}


@click.command()
@url_option
@click.option(
    "--queue",
    metavar="NAME",
    help="Those alone that serve a queue.",
    shell_complete=queue_name,
)
@click.option(
    "--name",
    metavar="NAME",
    help="Those alone that know tasks of a name.",
    shell_complete=task_name,
)
@click.option("--tasks", "shows_tasks", is_flag=True, help="List the tasks that they run instead.")
@json_option
def workers(
    url: str | None, queue: str | None, name: str | None, *, shows_tasks: bool, as_json: bool
) -> None:
    """List the workers that are there, and how long ago each was heard of.

    One that was killed is listed for up to 15 seconds more, one that hangs as blocked or silent.
    Exits with 3 if there is none.
    """

    async def call(store: Store) -> tuple[Sequence[WorkerInfo], Moment]:
        return await store.inspector.workers(queue=queue, name=name), store.now()

    found, now = ask(url, call)
    if as_json:
        print_json({"workers": [as_record(each, now) for each in found]})
    elif shows_tasks:
        runs = [run_row(each, task, now) for each in found for task in each.running]
        print_table(TITLES_OF_RUNS, runs)
    elif found:
        print_table(TITLES, [row(each, now) for each in found])
    if not found:
        raise NotFound(_nobody(queue, name))


def as_record(info: WorkerInfo, now: Moment) -> dict[str, Any]:
    """Return a worker as JSON has it."""
    return {
        "id": info.id,
        "name": info.name,
        "host": info.host,
        "pid": info.pid,
        "package_version": info.version,
        "app_version": info.app_version,
        "state": info.condition(now),
        "seen": timestamp(info.seen),
        "seen_seconds_ago": round(info.age(now), 3),
        "expires": timestamp(info.expires),
        "started": timestamp(info.started),
        "queues": dict(info.queues),
        "strict": info.is_strict,
        "handlers": list(info.handlers),
        "concurrency": info.concurrency,
        "in_hand": info.in_hand,
        "tasks": [_task_record(task, now) for task in info.running],
        "loop_lag_seconds": round(info.loop_lag, 3),
        "last_claim": None if info.last_claim is None else timestamp(info.last_claim),
        "paused": info.is_paused,
        "stopping": info.is_stopping,
    }


def _task_record(task: RunningTask, now: Moment) -> dict[str, Any]:
    return {
        "queue": task.queue,
        "id": task.id,
        "name": task.name,
        "since": timestamp(task.since),
        "seconds": round(max(0.0, now - task.since), 3),
    }


def row(info: WorkerInfo, now: Moment) -> Sequence[str]:
    """Return a worker as cells."""
    condition = info.condition(now)
    return (
        cell(info.name),
        click.style(condition, fg=COLOURS[condition]),
        f"{duration(info.age(now))} ago",
        f"{duration(now - info.started)} ago",
        f"{info.in_hand} of {info.concurrency}",
        duration(info.loop_lag),
        cell(_queues(info)),
    )


def run_row(info: WorkerInfo, task: RunningTask, now: Moment) -> Sequence[str]:
    """Return what a worker runs as cells."""
    cells = (info.name, duration(now - task.since), task.queue, task.id, task.name)
    return tuple(map(cell, cells))


def _queues(info: WorkerInfo) -> str:
    """Return queues as `qcore worker --queues` takes them."""
    if info.is_strict:
        return ",".join(info.queues)
    return ",".join(f"{queue}={weight}" for queue, weight in info.queues.items())


def _nobody(queue: str | None, name: str | None) -> str:
    serving = "" if queue is None else f" serves the queue {queue!r}"
    knowing = "" if name is None else f" knows tasks of the name {name!r}"
    return f"no worker{serving}{' and' if serving and knowing else ''}{knowing}" + (
        "" if serving or knowing else " is there"
    )
