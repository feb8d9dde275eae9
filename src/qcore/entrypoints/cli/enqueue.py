"""`qcore enqueue`: enqueue a task by its name, without the code that declares it."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from qcore.app.client.handles import Handle
from qcore.domain.lifecycle import State
from qcore.domain.new_task import DEFAULT_QUEUE, NewTask
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.known_values import queue_name, task_name
from qcore.entrypoints.cli.output import cell, print_json
from qcore.entrypoints.cli.times import Seconds


@click.command()
@click.argument("name", shell_complete=task_name)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@url_option
@click.option(
    "--queue", default=DEFAULT_QUEUE, show_default=True, metavar="NAME", shell_complete=queue_name
)
@click.option("--delay", type=Seconds(), metavar="DURATION", help="Not before this, such as 2h.")
@click.option("--id", "task_id", metavar="ID", help="Of the task. [default: a fresh one]")
@json_option
def enqueue(
    name: str,
    arguments: Sequence[str],
    url: str | None,
    *,
    queue: str,
    delay: float | None,
    task_id: str | None,
    as_json: bool,
) -> None:
    """Enqueue a task of NAME with arguments, and print its id.

    A value that is JSON is taken as such: user=7 is a number, user='"7"' is text, and so is
    user=ann. What the handler takes is not known here: a worker finds out. Options that its code
    declares, such as max_retry, are not known either.
    """
    named = _parsed(arguments)

    async def call(store: Store) -> tuple[Handle[Any], State]:
        client = store.client
        await client.open()
        due = None if delay is None else store.now() + delay
        wanted = client.new_id() if task_id is None else task_id
        payload = client.payload_of(name, named, None)
        task = NewTask(name, id=wanted, queue=queue, due=due, **payload)
        handle = await client.enqueue(task)
        return handle, await handle.status()

    handle, state = ask(url, call, may_make_file=True)
    if as_json:
        record = {"queue": handle.queue, "id": handle.id, "name": name, "new": handle.is_new}
        print_json({**record, "state": state})
        return
    click.echo(cell(handle.id))
    if not handle.is_new:
        click.echo(f"there is such a task already: it is {state}", err=True)


def _parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """Return arguments by their names; raise `Wrong` for one without, or named twice."""
    named: dict[str, Any] = {}
    for each in arguments:
        key, equals, value = each.partition("=")
        if not (equals and key):
            raise Wrong(f"{each!r}: expected key=value, such as user=7")
        if key in named:
            raise Wrong(f"{each!r}: the argument {key!r} is given twice")
        named[key] = _value(value)
    return named


def _value(text: str) -> Any:
    """Return a value given as JSON; any other text as it is, NaN and Infinity too."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)
