"""What a shell completes of values: names that the store knows, and the terms of a query.

A store that does not answer in time completes nothing: whoever types is not to wait for it.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from typing import Final, TypeAlias

import click

from qcore.app.client.qualifiers import QUEUE, VALUES
from qcore.app.client.query_completion import qualifiers_beginning, typed_at_the_end
from qcore.app.client.queue_listing import queue_names
from qcore.domain.statistics import Resolution
from qcore.entrypoints.cli.asking import Store, ask
from qcore.ports import periodic_of, recording_of, worker_registry_of

Find: TypeAlias = Callable[[Store, click.Context], Awaitable[Iterable[str]]]
Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], list[str]]

WHOLE: Final = 0.5
"""Seconds of processor time and of waiting that a completion may take, all in all."""
LEAST: Final = 0.2
"""Seconds for the store, however long it took to come here."""
MOST: Final = 100
"""Values that are completed: a list that nobody reads helps nobody."""
LOOK: Final = 2_000
"""Tasks that are looked at for their ids."""
RECENT: Final = timedelta(days=2)
NEEDS_QUOTES: Final = re.compile(r"[^\w.:/@%+=,^-]")


def known(find: Find) -> Complete:
    """Return what completes a parameter by names that a store has."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        return _beginning(incomplete, _found(find, ctx))

    return complete


def _found(find: Find, ctx: click.Context) -> Iterable[str]:
    """Return what a store says in time; nothing where it does not, or says something else."""
    said: list[Iterable[str]] = []

    def wait() -> None:
        with suppress(Exception):
            said.append(ask(ctx.params.get("url"), lambda store: find(store, ctx)))

    # a thread, as neither a connection nor the lock of a file lets go in time by itself
    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(max(LEAST, WHOLE - time.process_time()))
    return said[0] if said else ()


def _beginning(text: str, values: Iterable[str]) -> list[str]:
    """Return the values that begin with a text; those that a shell would read otherwise are out."""
    fit = {each for each in values if each.startswith(text) and not NEEDS_QUOTES.search(each)}
    return sorted(fit)[:MOST]


# --- what a store knows ---------------------------------------------------------------------------


async def _queues(store: Store, _: click.Context) -> Iterable[str]:
    await store.client.open()
    return await queue_names(store.broker, await store.broker.count(), store.now())


async def _task_names(store: Store, _: click.Context) -> Iterable[str]:
    """Return the names that workers have handlers for, and those of what has ended of late."""
    await store.client.open()
    names = set[str]()
    if worker_registry_of(store.broker) is not None:
        # what ends in a colon is the beginning of names
        names.update(*(each.handlers for each in await store.inspector.workers()))
    if recording_of(store.broker) is not None:
        rows = await store.inspector.statistics(since=RECENT, by=Resolution.DAY)
        names.update(row.name for row in rows)
    return names


async def _task_ids(store: Store, ctx: click.Context) -> Iterable[str]:
    page = await store.inspector.tasks(_of_queue(ctx), limit=LOOK, look=LOOK)
    return [task.id for task in page.tasks]


async def _entries(store: Store, ctx: click.Context) -> Iterable[str]:
    if periodic_of(store.broker) is None:
        return ()
    return [each.name for each in await store.entries.list(ctx.params.get("queue"))]


def _of_queue(ctx: click.Context) -> str:
    queue = ctx.params.get("queue")
    return f'queue:"{queue}"' if isinstance(queue, str) and queue.isalnum() else ""


queue_name: Final = known(_queues)
task_name: Final = known(_task_names)
task_id: Final = known(_task_ids)
entry_name: Final = known(_entries)


# --- queries --------------------------------------------------------------------------------------


NAMED: Final[Mapping[str, Find]] = {QUEUE: _queues, "name": _task_names, "id": _task_ids}
"""Qualifiers whose values a store knows."""


def query_term(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete a term of a query: its qualifier, then the last of its values."""
    typed = typed_at_the_end(incomplete)
    if typed.qualifier is None:
        return [f"{typed.before}{each}" for each in qualifiers_beginning(typed)]
    values = _beginning(typed.text, _values(ctx, typed.qualifier))
    return [f"{typed.before}{each}" for each in values]


def _values(ctx: click.Context, qualifier: str) -> Iterable[str]:
    if qualifier in VALUES:
        return VALUES[qualifier]
    return _found(NAMED[qualifier], ctx) if qualifier in NAMED else ()
