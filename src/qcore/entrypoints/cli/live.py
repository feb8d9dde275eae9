"""Follow queues, or the tasks of a query, until somebody interrupts it or the time is over."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import click

from qcore.app.client.queries import STATES
from qcore.app.client.store_updates import QueueUpdate, StoreUpdate
from qcore.domain.new_task import TaskId
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.output import cell, is_terminal, print_json_line
from qcore.entrypoints.cli.queue_output import print_queues
from qcore.entrypoints.cli.task_output import print_tasks, task_record
from qcore.entrypoints.written_times import timestamp

CLEAR_SCREEN: Final = "\x1b[2J\x1b[H"
Key: TypeAlias = tuple[str, TaskId]


async def watch_queues(store: Store, limit: int, longest: float | None, *, as_json: bool) -> None:
    """Print how queues stand, again and again: whatever has changed as a line of JSON each."""

    async def redraw(update: StoreUpdate) -> None:
        if update.outage is None:
            page = await store.inspector.queues(limit=limit)
            _clear()
            print_queues(page.queues)
        _tell_outage(update)

    async def print_update(update: StoreUpdate) -> None:
        print_json_line(_update_record(update))

    await _follow(store, longest, print_update if as_json else redraw, is_endless=as_json)


async def watch_tasks(
    store: Store, query: str, limit: int, look: int, longest: float | None, *, as_json: bool
) -> None:
    """Print the first tasks of a query, again and again: each change as a line of JSON."""
    before: dict[Key, Mapping[str, Any]] = {}

    async def listed() -> list[Task]:
        return [*(await store.inspector.tasks(query, limit=limit, look=look)).tasks]

    async def redraw(update: StoreUpdate) -> None:
        if update.outage is None:
            tasks = await listed()
            _clear()
            print_tasks(tasks, store.now())
        _tell_outage(update)

    async def print_changes(update: StoreUpdate) -> None:
        if update.outage is not None:
            print_json_line({"at": timestamp(update.at), "outage": update.outage})
            return
        now = {(task.queue, task.id): task_record(task) for task in await listed()}
        for key, task in now.items():
            if task != before.get(key):
                change = "changed" if key in before else "listed"
                print_json_line({"at": timestamp(update.at), "change": change, **task})
        for queue, task_id in before.keys() - now.keys():
            gone = {"change": "left", "queue": queue, "id": task_id}
            print_json_line({"at": timestamp(update.at), **gone})
        before.clear()
        before.update(now)

    await _follow(store, longest, print_changes if as_json else redraw, is_endless=as_json)


async def _follow(
    store: Store,
    longest: float | None,
    show: Callable[[StoreUpdate], Awaitable[None]],
    *,
    is_endless: bool,
) -> None:
    """Show each update for at most so long; where nobody reads along the first one alone."""
    limit = asyncio.timeout(longest)
    try:
        async with limit, aclosing(store.inspector.watch()) as updates:
            async for update in updates:
                await show(update)
                if not (is_endless or is_terminal()):
                    return
    except TimeoutError:
        if not limit.expired():
            raise


def _update_record(update: StoreUpdate) -> Mapping[str, Any]:
    return {
        "at": timestamp(update.at),
        "whole": update.is_whole,
        "outage": update.outage,
        "queues": [_queue_record(each) for each in update.queues],
    }


def _queue_record(queue: QueueUpdate) -> Mapping[str, Any]:
    return {
        "name": queue.name,
        "tasks": {state.value: queue.sizes[state] for state in STATES},
        "changed": [*queue.tasks],
        "more": queue.more,
    }


def _clear() -> None:
    if is_terminal():
        click.echo(CLEAR_SCREEN, nl=False)


def _tell_outage(update: StoreUpdate) -> None:
    if update.outage is not None:
        click.echo(f"no answer: {cell(update.outage)}", err=True)
