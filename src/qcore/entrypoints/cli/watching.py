"""Follow tasks until they have ended, a line for each change."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

import click

from qcore.app.client.handles import TaskUpdate
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.errors import FailedForGood, TimedOut
from qcore.entrypoints.cli.finding import Found, not_found
from qcore.entrypoints.cli.output import CLEAR_LINE, cell, is_terminal, print_json_line, print_lines
from qcore.entrypoints.cli.task_output import coloured
from qcore.entrypoints.written_times import timestamp

Show: TypeAlias = Callable[[Store, Task, TaskUpdate], None]
WIDTH: Final = 20
"""Characters of a progress bar."""
FAILED: Final = frozenset({State.DEAD, State.ARCHIVED})


async def watch(
    store: Store, found: Sequence[Found], longest: float | None, *, as_json: bool
) -> None:
    """Follow tasks to their ends; raise the error whose exit status says how that went."""
    if missing := [each.id for each in found if each.task is None]:
        raise not_found(missing, None)
    tasks = [each.task for each in found if each.task is not None]
    # one alone is drawn in one line of a terminal, again and again
    show = _print_json if as_json else _redraw if is_terminal() and len(tasks) == 1 else _print
    running = [asyncio.ensure_future(_follow(store, task, show)) for task in tasks]
    try:
        ended, late = await asyncio.wait(
            running, timeout=longest, return_when=asyncio.FIRST_EXCEPTION
        )
    finally:
        await _cancel(running)
        if show is _redraw:
            click.echo()
    for each in ended:
        # a store that no longer answers is told before what it was not asked for
        each.result()
    if late:
        # what has ended is not named: its line was printed
        names = ", ".join(
            task.id for task, each in zip(tasks, running, strict=True) if each in late
        )
        raise TimedOut(f"not ended after {longest:g} seconds: {names}")
    states = {task.id: each.result() for task, each in zip(tasks, running, strict=True)}
    if failed := {task: state for task, state in states.items() if state in FAILED}:
        told = [
            f"{task} is {state}{await _why(store, tasks, task)}" for task, state in failed.items()
        ]
        raise FailedForGood("; ".join(told))


async def _follow(store: Store, task: Task, show: Show) -> State:
    """Show each change of a task; return the state in which it has ended."""
    handle = store.client.handle(task.queue, task.id, name=task.name)
    state = task.state
    async with aclosing(handle.watch()) as updates:
        async for update in updates:
            show(store, task, update)
            state = update.state
    return state


async def _cancel(running: Sequence["asyncio.Future[State]"]) -> None:
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _why(store: Store, tasks: Sequence[Task], task: str) -> str:
    [queue] = {each.queue for each in tasks if each.id == task}
    [found] = await store.broker.get(queue, [task])
    return "" if found is None or found.error is None else f": {found.error}"


def _print_json(store: Store, task: Task, update: TaskUpdate) -> None:
    progress = update.progress
    print_json_line(
        {
            "at": timestamp(store.now()),
            "queue": task.queue,
            "id": task.id,
            "state": update.state,
            "progress": None if progress is None else progress.fraction,
            "message": None if progress is None else progress.message,
        }
    )


def _print(_: Store, task: Task, update: TaskUpdate) -> None:
    print_lines([_line(task, update)])


def _redraw(_: Store, task: Task, update: TaskUpdate) -> None:
    click.echo(CLEAR_LINE, nl=False)
    print_lines([_line(task, update)], end="")


def _line(task: Task, update: TaskUpdate) -> str:
    progress = update.progress
    cells = [cell(task.id), coloured(update.state)]
    if progress is not None:
        cells.append(_bar(progress.fraction) if is_terminal() else f"{progress.fraction:.0%}")
        cells.append(cell(progress.message))
    return ("  " if is_terminal() else "\t").join(cells).rstrip()


def _bar(fraction: float) -> str:
    full = int(fraction * WIDTH)
    return f"{'█' * full}{'░' * (WIDTH - full)} {fraction:>4.0%}"
