"""`qcore queues`: what is in the queues; pause, resume, limit and remove them."""

from typing import Unpack

import click

from qcore.app.client.queue_listing import DEFAULT_QUEUES, QueuePage
from qcore.domain.queue_limits import NO_LIMITS
from qcore.entrypoints.cli.asking import (
    Store,
    ask,
    json_option,
    longest_option,
    url_option,
)
from qcore.entrypoints.cli.completion_values import queue_name
from qcore.entrypoints.cli.errors import NotFound, Unwell
from qcore.entrypoints.cli.limits import pause, resume, set_limits
from qcore.entrypoints.cli.listing_options import cursor_option, limit_option
from qcore.entrypoints.cli.live import watch_queues
from qcore.entrypoints.cli.many import (
    confirm,
    consent_options,
    refuse_both,
    refuse_unless_asked,
)
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.orders import Why, why_options
from qcore.entrypoints.cli.output import cell, print_json
from qcore.entrypoints.cli.queue_output import (
    print_queues,
    queue_record,
)
from qcore.entrypoints.written_numbers import tasks
from qcore.ports import limiting_of, periodic_of


@click.group(cls=Noun)
def queues() -> None:
    """List the queues with what is in them; pause, resume, limit or remove them."""


@queues.command("list")
@url_option
@limit_option(DEFAULT_QUEUES)
@cursor_option
@json_option
def list_queues(url: str | None, limit: int, cursor: str | None, *, as_json: bool) -> None:
    """List queues: their tasks by state, how long the first one waits, limits."""

    async def call(store: Store) -> QueuePage:
        return await store.inspector.queues(limit=limit, cursor=cursor)

    page = ask(url, call)
    if as_json:
        listed = [queue_record(each) for each in page.queues]
        print_json({"queues": listed, "cursor": page.cursor})
        return
    print_queues(page.queues)
    if page.cursor is not None:
        click.echo(f"for more: --cursor {page.cursor}", err=True)


@queues.command()
@url_option
@limit_option(DEFAULT_QUEUES, "Draw so many in a terminal, at most.")
@longest_option
@json_option
def watch(url: str | None, limit: int, longest: float | None, *, as_json: bool) -> None:
    """Show queues again whenever anything changes; with --json a line for each change."""

    async def call(store: Store) -> None:
        await watch_queues(store, limit, longest, as_json=as_json)

    ask(url, call)


queues.add_command(pause)
queues.add_command(resume)
queues.add_command(set_limits, "limit")


@queues.command()
@click.argument("name", shell_complete=queue_name)
@url_option
@click.option("--force", "is_forced", is_flag=True, help="Delete its tasks and entries, too.")
@consent_options
@why_options
@json_option
def remove(
    name: str,
    url: str | None,
    *,
    is_forced: bool,
    is_dry: bool,
    is_sure: bool,
    as_json: bool,
    **why: Unpack[Why],
) -> None:
    """Remove a queue, and all that is kept of it; one with tasks with --force alone."""
    refuse_both(is_dry=is_dry, is_sure=is_sure)

    async def call(store: Store) -> int:
        held, entries = await _held(store, name)
        what = f"the queue {name!r} with {tasks(held)} and {entries:,} periodic ones"
        if (held or entries) and not is_forced:
            raise Unwell(f"not removed: {what}; --force deletes them")
        if is_dry:
            return held
        if (held or entries) and not is_sure:
            refuse_unless_asked(as_json=as_json)
            confirm(f"remove {what}?")
        return await store.inspector.remove_queue(name, force=is_forced, **why)

    deleted = ask(url, call)
    if as_json:
        print_json({"name": name, "dry_run": is_dry, "tasks_deleted": deleted})
    else:
        verb = "would remove" if is_dry else "removed"
        click.echo(f"{verb} {cell(name)}, and {tasks(deleted)} with it")


async def _held(store: Store, name: str) -> tuple[int, int]:
    """Return how many tasks and entries a queue has; raise `NotFound` where it is not known."""
    await store.client.open()
    counts = await store.broker.count()
    entries = len(await store.entries.list(name)) if _has_entries(store) else 0
    limits = await store.inspector.limits(name) if _has_limits(store) else NO_LIMITS
    if name not in counts and not entries and limits == NO_LIMITS:
        raise NotFound(f"no queue of the name {name!r} has tasks, entries or limits")
    return sum(counts.get(name, {}).values()), entries


def _has_entries(store: Store) -> bool:
    return periodic_of(store.broker) is not None


def _has_limits(store: Store) -> bool:
    return limiting_of(store.broker) is not None
