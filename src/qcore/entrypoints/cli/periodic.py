"""`qcore periodic`: the entries of periodic tasks: list, show, run, pause, resume, remove them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import click

from qcore.app.client.entries import ListedEntry
from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.entry_output import entry_record, print_entries, print_entry
from qcore.entrypoints.cli.errors import NotFound
from qcore.entrypoints.cli.known_values import entry_name, queue_name
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.output import cell, print_json, print_table

C = TypeVar("C", bound=Callable[..., Any] | click.Command)
Change = Callable[[Store, str, str], Awaitable[str | None]]
"""Change an entry of a name and a queue; return what it does then, None if there is none."""
TITLES: Final = ("QUEUE", "NAME", "")


@click.group(cls=Noun)
def periodic() -> None:
    """List periodic tasks; show, run, pause, resume or remove them."""


def _which(command: C) -> C:
    command = click.option(
        "--queue",
        default=DEFAULT_QUEUE,
        show_default=True,
        metavar="NAME",
        help="Of the entries.",
        shell_complete=queue_name,
    )(command)
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
    @json_option
    def command(names: Sequence[str], queue: str, url: str | None, *, as_json: bool) -> None:
        async def call(store: Store) -> list[str | None]:
            return [await change(store, each, queue) for each in names]

        answers = ask(url, call)
        done = [(n, a) for n, a in zip(names, answers, strict=True) if a is not None]
        if as_json:
            told = [{"queue": queue, "name": n, "answer": a} for n, a in done]
            print_json({"verb": verb, "entries": told})
        else:
            print_table(TITLES, [(cell(queue), cell(n), cell(a)) for n, a in done])
        _refuse_missing(names, [each is not None for each in answers], queue)


async def _run(store: Store, name: str, queue: str) -> str | None:
    handle = await store.entries.run_now(name, queue=queue)
    return None if handle is None else handle.id


async def _pause(store: Store, name: str, queue: str) -> str | None:
    entry = await store.entries.pause(name, queue=queue)
    return None if entry is None else entry.status


async def _resume(store: Store, name: str, queue: str) -> str | None:
    entry = await store.entries.resume(name, queue=queue)
    return None if entry is None else entry.status


async def _remove(store: Store, name: str, queue: str) -> str | None:
    return "removed" if await store.entries.remove(name, queue=queue) else None


_add("run", "Make the tasks now, beside the schedule; the answer is the task's id.", _run)
_add("pause", "Have them tick no more until they are resumed.", _pause)
_add("resume", "Have them tick again from now on.", _resume)
_add("remove", "Remove them; their tasks stay. What code declares comes again.", _remove)


def _refuse_missing(names: Sequence[str], are_there: Sequence[bool], queue: str) -> None:
    """Raise `NotFound` for entries that are not there."""
    missing = [name for name, is_there in zip(names, are_there, strict=True) if not is_there]
    if missing:
        raise NotFound(f"no periodic task in the queue {queue!r}: {', '.join(missing)}")
