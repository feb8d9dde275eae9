"""`qcore groups`: groups of tasks that wait to become one: list, show, aggregate, move them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from qcore.app.client.group_listing import DEFAULT_WAITING, GroupPage
from qcore.app.client.queries import Query
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.cli.asking import (
    AT_LEAST_ONE,
    Store,
    app_option,
    ask,
    json_option,
    url_option,
)
from qcore.entrypoints.cli.completion_values import queue_name
from qcore.entrypoints.cli.errors import NotFound, Wrong
from qcore.entrypoints.cli.listing_options import cursor_option, limit_option, queue_option
from qcore.entrypoints.cli.many import Bulk, consent_options, refuse_both
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.orders import VERBS, Order, order_options
from qcore.entrypoints.cli.output import cell, is_terminal, print_json, print_table
from qcore.entrypoints.cli.task_output import print_tasks, task_record
from qcore.entrypoints.written_times import duration, timestamp

C = TypeVar("C", bound=Callable[..., Any] | click.Command)
TITLES: Final = ("QUEUE", "GROUP", "TASKS", "FIRST", "LAST")
MADE: Final = ("QUEUE", "GROUP", "TASK")
ORDERED: Final = ("run", "cancel", "delete")
"""Verbs for the members; the others are to be had by a query."""


@click.group(cls=Noun)
def groups() -> None:
    """List groups that wait to be aggregated; aggregate, run, cancel, delete their tasks."""


def _which(command: C) -> C:
    command = queue_option("Of the groups.")(command)
    return click.argument("names", nargs=-1, required=True, metavar="GROUP...")(command)


@groups.command("list")
@click.argument("queue", required=False, shell_complete=queue_name)
@url_option
@limit_option(DEFAULT_WAITING)
@cursor_option
@json_option
def list_groups(
    queue: str | None, url: str | None, limit: int, cursor: str | None, *, as_json: bool
) -> None:
    """List the groups of QUEUE, or of all: their tasks, and when the first and the last joined."""

    async def call(store: Store) -> tuple[GroupPage, Moment]:
        page = await store.inspector.groups(queue, limit=limit, cursor=cursor)
        return page, store.now()

    page, now = ask(url, call)
    if as_json:
        print_json({"groups": [_record(each) for each in page.groups], "cursor": page.cursor})
        return
    if not is_terminal():
        print_table((), [_plain_row(each) for each in page.groups])
    elif page.groups:
        print_table(TITLES, [_row(each, now) for each in page.groups])
    if page.cursor is not None:
        click.echo(f"for more: --cursor '{page.cursor}'", err=True)


@groups.command()
@_which
@url_option
@limit_option(DEFAULT_WAITING, "Of each group, those that joined first.")
@json_option
def show(names: Sequence[str], queue: str, url: str | None, limit: int, *, as_json: bool) -> None:
    """Show the tasks that wait in groups."""

    async def call(store: Store) -> tuple[Mapping[str, Sequence[Task]], Moment]:
        found = {
            name: await store.inspector.members(queue, name, limit=limit)
            for name in dict.fromkeys(names)
        }
        return found, store.now()

    found, now = ask(url, call)
    members = [task for tasks in found.values() for task in tasks]
    if as_json:
        print_json({"tasks": [task_record(each) for each in members]})
    else:
        print_tasks(members, now)
    _refuse_empty([name for name, tasks in found.items() if not tasks], queue)


@groups.command()
@_which
@app_option
@url_option
@json_option
def aggregate(
    names: Sequence[str], queue: str, app: str | None, url: str | None, *, as_json: bool
) -> None:
    """Make one task of the tasks of each group now, by the aggregator of --app."""
    if app is None:
        raise Wrong("expected --app MODULE:NAME, which has the aggregator")

    async def call(store: Store) -> Mapping[str, Sequence[TaskId]]:
        q = store.app
        if q is None:
            return {}
        return {name: await q.aggregate(name, queue=queue) for name in dict.fromkeys(names)}

    made = ask(url, call, app=app)
    pairs = [(name, task) for name, tasks in made.items() for task in tasks]
    if as_json:
        told = [{"queue": queue, "group": name, "task": task} for name, task in pairs]
        print_json({"verb": "aggregate", "groups": told})
    else:
        print_table(MADE, [(cell(queue), cell(name), cell(task)) for name, task in pairs])
    _refuse_empty([name for name, tasks in made.items() if not tasks], queue)


def _add(verb: str) -> None:
    """Add the command that gives an order for the tasks of groups."""

    @groups.command(verb, help=f"{VERBS[verb].text} All tasks that wait in groups.")
    @_which
    @url_option
    @order_options(verb)
    @click.option("--limit", type=AT_LEAST_ONE, metavar="N", help="Move so many, at most.")
    @consent_options
    @json_option
    def order(
        names: Sequence[str],
        queue: str,
        url: str | None,
        limit: int | None,
        *,
        is_dry: bool,
        is_sure: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        refuse_both(is_dry=is_dry, is_sure=is_sure)
        query = Query.where(state=State.AGGREGATING, queue=queue, group=names)

        async def call(store: Store) -> None:
            meant = Order.of(verb, options)
            await Bulk(query, meant, limit, is_dry, is_sure, as_json).carry_out(store)

        ask(url, call)


for each in ORDERED:
    _add(each)


def _record(group: Group) -> Mapping[str, Any]:
    return {
        "queue": group.queue,
        "name": group.name,
        "tasks": group.size,
        "first": timestamp(group.first),
        "last": timestamp(group.last),
    }


def _row(group: Group, now: Moment) -> Sequence[str]:
    ago = [f"{duration(now - moment)} ago" for moment in (group.first, group.last)]
    return cell(group.queue), cell(group.name), f"{group.size:,}", *ago


def _plain_row(group: Group) -> Sequence[str]:
    times = timestamp(group.first), timestamp(group.last)
    return cell(group.queue), cell(group.name), str(group.size), *times


def _refuse_empty(missing: Sequence[str], queue: str) -> None:
    """Raise `NotFound` for groups in which no task waits."""
    if missing:
        raise NotFound(f"no task waits in a group of the queue {queue!r}: {', '.join(missing)}")
