"""`qcore enqueue`: enqueue a task by its name, and follow it."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, cast

import click

from qcore.app.calls.call import Call
from qcore.app.calls.options import Options, merge_options
from qcore.app.calls.signature import Signature
from qcore.app.calls.task_template import TaskTemplate
from qcore.app.client.handles import Handle
from qcore.domain.states import State
from qcore.entrypoints.cli.arguments import parse, values_of
from qcore.entrypoints.cli.asking import Store, app_option, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import queue_name, task_name
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.finding import Found
from qcore.entrypoints.cli.output import cell, print_json, print_json_line
from qcore.entrypoints.cli.times import NONE, Instant, OrNone, Seconds
from qcore.entrypoints.cli.watching import watch

DURATION: Final = "DURATION"


@click.command()
@click.argument("name", shell_complete=task_name)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@app_option
@url_option
@click.option(
    "--queue",
    metavar="NAME",
    help="[default: the handler's, else default]",
    shell_complete=queue_name,
)
@click.option("--delay", type=Seconds(), metavar=DURATION, help="Not before this, such as 2h.")
@click.option("--at", type=Instant(), metavar="MOMENT", help="When, such as 2026-11-30T08:00Z.")
@click.option("--expires", type=Seconds(), metavar=DURATION, help="Not to start after this.")
@click.option("--priority", type=int, metavar="N", help="The higher, the sooner.")
@click.option(
    "--max-retry", type=OrNone(click.INT), metavar="N", help="Retry it so often, at most; or none."
)
@click.option("--timeout", type=OrNone(Seconds()), metavar=DURATION, help="Of each run; or none.")
@click.option(
    "--retention",
    type=OrNone(Seconds()),
    metavar=DURATION,
    help="Keep it and its result; none for good.",
)
@click.option("--group", metavar="NAME", help="What it waits in, to be aggregated.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To find it by; several times.")
@click.option("--unique", "is_unique", is_flag=True, help="While one of the same arguments lives.")
@click.option("--unique-for", type=Seconds(), metavar=DURATION, help="The same, for so long.")
@click.option("--unique-key", metavar="TEXT", help="In place of name and arguments.")
@click.option(
    "--on-duplicate",
    type=click.Choice(["reject", "replace", "rerun"]),
    help="Of a unique task. [default: reject]",
)
@click.option("--id", "task_id", metavar="ID", help="Of the task. [default: a fresh one]")
@click.option(
    "--watch",
    "--wait",
    "is_watched",
    is_flag=True,
    help="Follow it to its end, as task watch does.",
)
@click.option("--watch-for", type=Seconds(), metavar=DURATION, help="The same, for so long.")
@json_option
def enqueue(
    name: str,
    arguments: Sequence[str],
    app: str | None,
    url: str | None,
    *,
    is_unique: bool,
    is_watched: bool,
    watch_for: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enqueue a task of NAME with arguments, and print its id.

    With --app its handler says what it takes, and its options apply. A value is text where the
    annotation takes text, else JSON. Without --app, or an annotation, a value that is JSON is taken
    as such: user=7 is a number, user='"7"' is text, and so is user=ann; what the handler takes is
    found out by a worker. After := there is always JSON, as in user:='{"id": 7}'.
    """
    given = parse(arguments)
    own = _options(is_unique, options)

    async def call(store: Store) -> None:
        handler = None if store.app is None else store.app.resolve(name)
        if store.app is not None and handler is None:
            raise Wrong(_no_task(name, [each.name for each in store.app.handlers()]))
        signature = Signature(name, _anything) if handler is None else handler.signature
        defaults = Options() if handler is None else handler.options
        template = TaskTemplate(name, merge_options(defaults, own))
        request = Call[Any](template, signature, (), values_of(given, signature))
        handle = await store.client.enqueue(request)
        is_followed = is_watched or watch_for is not None
        _tell(name, handle, await handle.status(), as_json=as_json, is_followed=is_followed)
        if is_followed:
            [task] = await store.broker.get(handle.queue, [handle.id])
            if task is not None:
                await watch(store, [Found(task.id, task)], watch_for, as_json=as_json)

    ask(url, call, may_make_file=True, app=app)


_OR_NONE: Final = ("max_retry", "timeout", "retention")
"""Options that may be none, which is to say without end."""


def _options(is_unique: bool, given: Mapping[str, Any]) -> Options:  # noqa: FBT001  (one of a call)
    """Return those of the options that were given."""
    found = {
        name: None if value == NONE and name in _OR_NONE else value
        for name, value in given.items()
        if value is not None and value != ()
    }
    if is_unique:
        if "unique_for" in found:
            raise Wrong("both --unique and --unique-for are given: expected one of them")
        found["unique_for"] = None
    return cast("Options", found)


def _anything(_context: object, /, **arguments: Any) -> None:
    """Stand for a handler that is not known: whatever it is given fits."""


def _no_task(name: str, known: Sequence[str]) -> str:
    meant = get_close_matches(name, known, 1)
    told = f"did you mean {meant[0]!r}?" if meant else f"expected one of {', '.join(known) or '-'}"
    return f"the application has no task {name!r}: {told}"


def _tell(
    name: str, handle: Handle[Any], state: State, *, as_json: bool, is_followed: bool
) -> None:
    if as_json:
        record = {"queue": handle.queue, "id": handle.id, "name": name, "new": handle.is_new}
        # what follows is a line each
        (print_json_line if is_followed else print_json)({**record, "state": state})
        return
    click.echo(cell(handle.id))
    if not handle.is_new:
        click.echo(f"there is such a task already: it is {state}", err=True)
