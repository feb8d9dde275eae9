"""`qcore tasks`: the tasks of a query, and orders for all of them."""

from typing import Any

import click

from qcore.app.client.queries import Query
from qcore.app.client.task_listing import DEFAULT_LIMIT, DEFAULT_LOOK, TaskPage
from qcore.domain.moments import Moment
from qcore.entrypoints.cli.asking import (
    AT_LEAST_ONE,
    Store,
    app_option,
    ask,
    json_option,
    longest_option,
    url_option,
)
from qcore.entrypoints.cli.completion_values import query_term
from qcore.entrypoints.cli.listing_options import cursor_option, limit_option, look_option
from qcore.entrypoints.cli.live import watch_tasks
from qcore.entrypoints.cli.many import Bulk, consent_options, refuse_both
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.orders import VERBS, Order, order_options
from qcore.entrypoints.cli.output import print_json
from qcore.entrypoints.cli.task_output import print_tasks, task_record


@click.group(cls=Noun)
def tasks() -> None:
    """List the tasks of a query, or move all of them.

    A query is such as 'state:dead queue:mail error:"timed out"'; see the page on queries.
    """


@tasks.command("list")
@click.argument("query", nargs=-1, shell_complete=query_term)
@app_option
@url_option
@limit_option(DEFAULT_LIMIT)
@look_option(DEFAULT_LOOK, "Look at so many tasks, at most, to find them.")
@cursor_option
@json_option
def list_tasks(
    query: tuple[str, ...],
    app: str | None,
    url: str | None,
    limit: int,
    *,
    look: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List the tasks of QUERY, or all, page by page."""

    async def call(store: Store) -> tuple[TaskPage, Moment]:
        text = " ".join(query)
        page = await store.inspector.tasks(text, limit=limit, look=look, cursor=cursor)
        return page, store.now()

    page, now = ask(url, call, app=app)
    if as_json:
        listed = [task_record(task) for task in page.tasks]
        print_json({"tasks": listed, "looked": page.looked, "cursor": page.cursor})
        return
    print_tasks(page.tasks, now)
    if page.cursor is not None:
        click.echo(f"{page.looked:,} looked at; for more: --cursor {page.cursor}", err=True)


@tasks.command()
@click.argument("query", nargs=-1, shell_complete=query_term)
@url_option
@limit_option(DEFAULT_LIMIT)
@look_option(DEFAULT_LOOK, "Look at so many tasks, at most, to find them.")
@longest_option
@json_option
def watch(
    query: tuple[str, ...],
    url: str | None,
    limit: int,
    look: int,
    longest: float | None,
    *,
    as_json: bool,
) -> None:
    """Show the first tasks of QUERY again whenever they change; with --json a line for each."""

    async def call(store: Store) -> None:
        text = " ".join(query)
        await watch_tasks(store, text, limit, look, longest, as_json=as_json)

    ask(url, call)


def _add(verb: str) -> None:
    """Add the command that gives an order for all tasks of a query."""

    @tasks.command(verb, help=f"{VERBS[verb].text} All tasks of QUERY, which names states.")
    @click.argument("query", nargs=-1, required=True, shell_complete=query_term)
    @app_option
    @url_option
    @order_options(verb)
    @click.option("--limit", type=AT_LEAST_ONE, metavar="N", help="Move so many, at most.")
    @consent_options
    @json_option
    def order(
        query: tuple[str, ...],
        app: str | None,
        url: str | None,
        limit: int | None,
        *,
        is_dry: bool,
        is_sure: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        refuse_both(is_dry=is_dry, is_sure=is_sure)

        async def call(store: Store) -> None:
            meant = Order.of(verb, options)
            parsed = Query.parse(" ".join(query))
            await Bulk(parsed, meant, limit, is_dry, is_sure, as_json).carry_out(store)

        ask(url, call, app=app)


for each in VERBS:
    _add(each)
