"""`qcore limits`: rates, tasks in flight and pauses of queues."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Unpack

import click

from qcore.app.client.inspector import Inspector
from qcore.domain.queue_limits import Limits
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import queue_name
from qcore.entrypoints.cli.errors import Wrong
from qcore.entrypoints.cli.nouns import Noun
from qcore.entrypoints.cli.orders import Why, why_options
from qcore.entrypoints.cli.output import cell, print_json, print_table
from qcore.entrypoints.cli.queue_output import limits_record, limits_text

NONE: Final = "none"
"""What takes a limit away."""


@click.group(cls=Noun)
def limits() -> None:
    """List the queues with limits; show, set, clear limits, pause, resume."""


names_argument = click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=queue_name
)


@limits.command("list")
@url_option
@json_option
def list_limits(url: str | None, *, as_json: bool) -> None:
    """List the queues that are paused, or have another limit."""

    async def call(store: Store) -> Mapping[str, Limits]:
        return await store.inspector.limited_queues()

    _print(ask(url, call), as_json=as_json)


@limits.command()
@names_argument
@url_option
@json_option
def show(names: Sequence[str], url: str | None, *, as_json: bool) -> None:
    """Show the limits of queues."""
    _change(url, names, Inspector.limits, as_json=as_json)


@limits.command()
@names_argument
@url_option
@why_options
@json_option
def clear(names: Sequence[str], url: str | None, *, as_json: bool, **why: Unpack[Why]) -> None:
    """Lift rate and in flight of queues; one that is paused stays so."""

    async def change(inspector: Inspector, name: str) -> Limits:
        await inspector.limit_rate(name, None, **why)
        return await inspector.limit_in_flight(name, None, **why)

    _change(url, names, change, as_json=as_json)


@limits.command()
@names_argument
@url_option
@why_options
@json_option
def pause(names: Sequence[str], url: str | None, *, as_json: bool, **why: Unpack[Why]) -> None:
    """Hand out nothing of queues to any worker; what runs goes on."""

    async def change(inspector: Inspector, name: str) -> Limits:
        return await inspector.pause(name, **why)

    _change(url, names, change, as_json=as_json)


@limits.command()
@names_argument
@url_option
@why_options
@json_option
def resume(names: Sequence[str], url: str | None, *, as_json: bool, **why: Unpack[Why]) -> None:
    """Hand out the tasks of queues again."""

    async def change(inspector: Inspector, name: str) -> Limits:
        return await inspector.resume(name, **why)

    _change(url, names, change, as_json=as_json)


@limits.command("set")
@names_argument
@url_option
@click.option("--rate", metavar="N/TIME", help='Start so many, such as "100/min"; or none.')
@click.option("--in-flight", metavar="N", help="Run so many at a time; or none.")
@why_options
@json_option
def set_limits(
    names: Sequence[str],
    url: str | None,
    rate: str | None,
    in_flight: str | None,
    *,
    as_json: bool,
    **why: Unpack[Why],
) -> None:
    """Limit queues, over all workers: a rate, or how many run at a time."""
    if rate is None and in_flight is None:
        raise Wrong("expected --rate, --in-flight, or both")
    most = None if in_flight is None else _number(in_flight)

    async def change(inspector: Inspector, name: str) -> Limits:
        if rate is not None:
            await inspector.limit_rate(name, None if rate == NONE else rate, **why)
        if in_flight is not None:
            await inspector.limit_in_flight(name, most, **why)
        return await inspector.limits(name)

    _change(url, names, change, as_json=as_json)


def _change(
    url: str | None,
    names: Sequence[str],
    change: Callable[[Inspector, str], Awaitable[Limits]],
    *,
    as_json: bool,
) -> None:
    """Change the limits of queues, and print what they are then."""

    async def call(store: Store) -> Mapping[str, Limits]:
        await store.client.open()
        return {name: await change(store.inspector, name) for name in dict.fromkeys(names)}

    _print(ask(url, call), as_json=as_json)


def _print(found: Mapping[str, Limits], *, as_json: bool) -> None:
    if as_json:
        print_json({"queues": [_record(*each) for each in found.items()]})
    elif found:
        rows = [(cell(name), limits_text(each)) for name, each in found.items()]
        print_table(("QUEUE", "LIMITS"), rows)


def _record(name: str, limits: Limits) -> Mapping[str, Any]:
    return {"name": name, "limits": limits_record(limits)}


def _number(text: str) -> int | None:
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len("1000000000")):
        raise Wrong(f"--in-flight {text!r}: expected a whole number from 1, or {NONE}")
    return int(text)
