"""`qcore periodic`: the entries of periodic tasks: list, show, run, pause, resume, remove them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, Unpack

import click

from qcore.app.client.entry_listing import ListedEntry
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import entry_name, queue_name
from qcore.entrypoints.cli.entry_output import entry_record, print_entries, print_entry
from qcore.entrypoints.cli.errors import NotFound
from qcore.entrypoints.cli.listing_options import queue_option
from qcore.entrypoints.cli.many import (
    confirm,
    consent_options,
    refuse_both,
    refuse_unless_asked,
)
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.orders import Why, why_options
from qcore.entrypoints.cli.output import cell, print_json, print_table

C = TypeVar("C", bound=Callable[..., Any] | click.Command)
Change = Callable[[Store, str, str, Why], Awaitable[str | None]]
"""Change an entry of a name and a queue; return what it does then, None if there is none."""
TITLES: Final = ("QUEUE", "NAME", "")


@click.group(cls=Noun)
def periodic() -> None:
    """List periodic tasks; show, run, pause, resume or remove them."""


def _which(command: C) -> C:
    command = queue_option("Of the entries.")(command)
    return click.argument(
        "names", nargs=-1, required=True, metavar="NAME...", shell_complete=entry_name
    )(command)


@periodic.command("list")
@click.argument("queue", required=False, shell_complete=queue_name)
@url_option
@json_option
def list_entries(queue: str | None, url: str | None, *, as_json: bool) -> None:
    """List the periodic tasks of QUEUE, or of all: schedules in words, the next ticks."""

    async def call(store: Store) -> tuple[Sequence[ListedEntry], Moment]:
        return await store.entries.list(queue), store.now()

    found, now = ask(url, call)
    if as_json:
        print_json({"entries": [entry_record(each) for each in found]})
    else:
        print_entries(found, now)


@periodic.command()
@_which
@url_option
@json_option
def show(names: Sequence[str], queue: str, url: str | None, *, as_json: bool) -> None:
    """Show periodic tasks with their last ticks, and what has become of the tasks."""

    async def call(store: Store) -> list[ListedEntry | None]:
        return [await store.entries.get(each, queue=queue) for each in names]

    answers = ask(url, call)
    found = [each for each in answers if each is not None]
    if as_json:
        print_json({"entries": [entry_record(each) for each in found]})
    for number, each in enumerate(() if as_json else found):
        if number:
            click.echo()
        print_entry(each)
    _refuse_missing(names, [each is not None for each in answers], queue)


def _add(verb: str, text: str, change: Change) -> None:
    """Add a command that changes entries."""

    @periodic.command(verb, help=text)
    @_which
    @url_option
    @why_options
    @json_option
    def command(
        names: Sequence[str], queue: str, url: str | None, *, as_json: bool, **why: Unpack[Why]
    ) -> None:
        async def call(store: Store) -> list[str | None]:
            return [await change(store, each, queue, why) for each in names]

        _tell(verb, names, queue, ask(url, call), as_json=as_json)


async def _run(store: Store, name: str, queue: str, why: Why) -> str | None:
    handle = await store.entries.run_now(name, queue=queue, **why)
    return None if handle is None else handle.id


async def _pause(store: Store, name: str, queue: str, why: Why) -> str | None:
    entry = await store.entries.pause(name, queue=queue, **why)
    return None if entry is None else entry.status


async def _resume(store: Store, name: str, queue: str, why: Why) -> str | None:
    entry = await store.entries.resume(name, queue=queue, **why)
    return None if entry is None else entry.status


_add("run", "Make the tasks now, beside the schedule; the answer is the task's id.", _run)
_add("pause", "Have them tick no more until they are resumed.", _pause)
_add("resume", "Have them tick again from now on.", _resume)


@periodic.command()
@_which
@url_option
@consent_options
@why_options
@json_option
def remove(
    names: Sequence[str],
    queue: str,
    url: str | None,
    *,
    is_dry: bool,
    is_sure: bool,
    as_json: bool,
    **why: Unpack[Why],
) -> None:
    """Remove them; their tasks stay. What code declares comes again."""
    refuse_both(is_dry=is_dry, is_sure=is_sure)

    async def call(store: Store) -> list[str | None]:
        if not is_sure:
            found = await _shown(store, names, queue, is_dry=is_dry, as_json=as_json)
            if is_dry or not any(found):
                return found
            many = sum(each is not None for each in found)
            confirm(f"remove {many:,} periodic {'task' if many == 1 else 'tasks'}?")
        done = [await store.entries.remove(each, queue=queue, **why) for each in names]
        return ["removed" if each else None for each in done]

    answers = ask(url, call)
    if is_dry:
        _refuse_missing(names, [each is not None for each in answers], queue)
    else:
        _tell("remove", names, queue, answers, as_json=as_json)


async def _shown(
    store: Store, names: Sequence[str], queue: str, *, is_dry: bool, as_json: bool
) -> list[str | None]:
    """Print the entries of names that are there; return their statuses."""
    if not is_dry:
        refuse_unless_asked(as_json=as_json)
    answers = [await store.entries.get(each, queue=queue) for each in names]
    found = [each for each in answers if each is not None]
    if as_json:
        told = [entry_record(each) for each in found]
        print_json({"verb": "remove", "dry_run": True, "entries": told})
    else:
        print_entries(found, store.now())
    return [None if each is None else each.status for each in answers]


def _tell(
    verb: str, names: Sequence[str], queue: str, answers: Sequence[str | None], *, as_json: bool
) -> None:
    """Print what was answered of entries; raise `NotFound` for those that are not there."""
    done = [(n, a) for n, a in zip(names, answers, strict=True) if a is not None]
    if as_json:
        told = [{"queue": queue, "name": n, "answer": a} for n, a in done]
        print_json({"verb": verb, "entries": told})
    else:
        print_table(TITLES, [(cell(queue), cell(n), cell(a)) for n, a in done])
    _refuse_missing(names, [each is not None for each in answers], queue)


def _refuse_missing(names: Sequence[str], are_there: Sequence[bool], queue: str) -> None:
    """Raise `NotFound` for entries that are not there."""
    missing = [name for name, is_there in zip(names, are_there, strict=True) if not is_there]
    if missing:
        raise NotFound(f"no periodic task in the queue {queue!r}: {', '.join(missing)}")
