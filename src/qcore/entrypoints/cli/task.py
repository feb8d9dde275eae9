"""`qcore task`: tasks by their ids: show them, follow them, give them orders."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from qcore.app.client.moving import MoveAnswer, MoveTo, move_to
from qcore.domain.answers import Conflict, Duplicate, Missing, Moved, NotAllowed
from qcore.entrypoints.cli.asking import Store, app_option, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import queue_name, task_id
from qcore.entrypoints.cli.errors import NotFound, Unwell
from qcore.entrypoints.cli.finding import Found, find, not_found
from qcore.entrypoints.cli.orders import VERBS, Order, order_options
from qcore.entrypoints.cli.output import cell, print_json, print_table
from qcore.entrypoints.cli.story import Story, print_stories, story_of, story_record
from qcore.entrypoints.cli.task_output import coloured
from qcore.entrypoints.cli.times import Seconds
from qcore.entrypoints.cli.watching import watch as watch_tasks

C = TypeVar("C", bound=Callable[..., Any] | click.Command)
TITLES: Final = ("QUEUE", "ID", "", "STATE")
SAID: Final[Mapping[type, str]] = {
    Moved: "done",
    NotAllowed: "not allowed",
    Missing: "not found",
    Conflict: "id taken",
    Duplicate: "key taken",
}


@click.group()
def task() -> None:
    """Show, follow or move tasks by their ids, several at a time.

    An id is looked for in all queues unless --queue names one.
    """


def _which(command: C) -> C:
    text = "Of the tasks. [default: the one that has the id]"
    command = click.option("--queue", metavar="NAME", help=text, shell_complete=queue_name)(command)
    return click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=task_id)(
        command
    )


@task.command()
@_which
@app_option
@url_option
@json_option
def show(
    ids: Sequence[str], queue: str | None, app: str | None, url: str | None, *, as_json: bool
) -> None:
    """Show all that is known of tasks: arguments, errors, and why they wait.

    What is sealed is opened with the keys of the application that --app names.
    """

    async def call(store: Store) -> list[Story]:
        found = await find(store, ids, queue)
        return [await story_of(store, each.task) for each in found if each.task is not None]

    stories = ask(url, call, app=app)
    if as_json:
        print_json({"tasks": [story_record(each) for each in stories]})
    else:
        print_stories(stories)
    there = {each.task.id for each in stories}
    if missing := [each for each in dict.fromkeys(ids) if each not in there]:
        raise not_found(missing, queue)


@task.command()
@_which
@click.option(
    "--timeout", type=Seconds(), metavar="DURATION", help="Follow them for so long, at most."
)
@url_option
@json_option
def watch(
    ids: Sequence[str],
    queue: str | None,
    timeout: float | None,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Follow tasks until all have ended: their states and progress, a line for each change.

    With --json each is one object. Exits with 5 when the time is over before, with 6 if one is
    dead or archived.
    """

    async def call(store: Store) -> None:
        await watch_tasks(store, await find(store, ids, queue), timeout, as_json=as_json)

    ask(url, call)


def _add(verb: str) -> None:
    """Add the command that gives an order for tasks."""

    @task.command(verb, help=VERBS[verb].text)
    @_which
    @order_options(verb)
    @url_option
    @json_option
    def order(
        ids: Sequence[str],
        queue: str | None,
        url: str | None,
        *,
        as_json: bool,
        **options: Any,
    ) -> None:
        async def call(store: Store) -> list[tuple[Found, MoveAnswer]]:
            meant = Order.of(verb, options)
            found = await find(store, ids, queue)
            return [(each, await _carry_out(store, each, meant)) for each in found]

        answers = ask(url, call)
        if as_json:
            print_json({"verb": verb, "tasks": [_record(*each) for each in answers]})
        else:
            print_table(TITLES, [_row(*each) for each in answers])
        _raise_for(verb, answers)


async def _carry_out(store: Store, found: Found, order: Order) -> MoveAnswer:
    if found.task is None:
        return Missing()
    now = store.now()
    move = order.move(now)
    if isinstance(move, MoveTo):
        return (await move_to(store.broker, found.task.queue, [found.id], move, now=now))[0]
    return (await store.broker.execute(found.task.queue, [found.id], move, now=now))[0]


def _record(found: Found, answer: MoveAnswer) -> Mapping[str, Any]:
    return {
        "queue": None if found.task is None else found.task.queue,
        "id": found.id,
        "answer": SAID[type(answer)].replace(" ", "_"),
        "state": None if isinstance(answer, Missing) else answer.state,
    }


def _row(found: Found, answer: MoveAnswer) -> Sequence[str]:
    queue = "-" if found.task is None else cell(found.task.queue)
    state = "-" if isinstance(answer, Missing) else coloured(answer.state)
    return queue, cell(found.id), SAID[type(answer)], state


def _raise_for(verb: str, answers: Sequence[tuple[Found, object]]) -> None:
    if missing := [found.id for found, answer in answers if isinstance(answer, Missing)]:
        raise NotFound(f"not found: {', '.join(missing)}")
    refused = [(f.id, a.state) for f, a in answers if isinstance(a, NotAllowed)]
    taken = [(f.id, SAID[type(a)]) for f, a in answers if isinstance(a, Conflict | Duplicate)]
    if taken:
        raise Unwell(f"not moved: {', '.join(f'{task} ({why} there)' for task, why in taken)}")
    if refused:
        told = ", ".join(f"{task} is {state}" for task, state in refused)
        raise Unwell(f"not allowed to {verb}: {told}")


for each in VERBS:
    _add(each)
