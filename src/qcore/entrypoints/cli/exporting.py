"""`qcore export`: what is in a store as JSON lines, to be kept, or imported elsewhere."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import click

from qcore.app.client.exporting import Export
from qcore.app.client.queries import Query
from qcore.app.client.selection import one_queue
from qcore.app.client.task_listing import payload_reader
from qcore.entrypoints.cli.asking import Store, app_option, ask, json_option, url_option
from qcore.entrypoints.cli.completion_values import query_term, queue_name
from qcore.entrypoints.cli.errors import Unwell, Wrong
from qcore.entrypoints.cli.output import cell, print_json
from qcore.entrypoints.written_numbers import tasks

UNFINISHED = ".part"
"""Behind the name of a file that is not whole yet."""


@click.command()
@click.argument("query", nargs=-1, shell_complete=query_term)
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Of this queue alone.",
    shell_complete=queue_name,
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file, which takes the place of an older one when it is whole.",
)
@url_option
@app_option
@json_option
def export(
    query: tuple[str, ...],
    queues: tuple[str, ...],
    output: Path | None,
    url: str | None,
    app: str | None,
    *,
    as_json: bool,
) -> None:
    """Write tasks, limits and periodic tasks as JSON lines; with QUERY its tasks alone.

    `qcore import` stores them as they are. The last line counts the others.
    """
    if as_json and output is None:
        raise Wrong("--json is given without --output: standard output has the lines themselves")
    left_out: list[str] = []

    async def call(store: Store) -> Export:
        await store.client.open()
        made = Export(
            store.broker,
            store.now(),
            qcore=_version(),
            queues=[one_queue(each) for each in queues] or None,
            query=Query.parse(" ".join(query)) if query else None,
            read=payload_reader(store.codec),
            left_out=left_out.append,
        )
        with _opened(output) as file:
            async for line in made.lines():
                file.write(line)
        return made

    done = ask(url, call, app=app)
    _tell(done, output, left_out, as_json=as_json)


@contextmanager
def _opened(output: Path | None) -> Generator[BinaryIO, None, None]:
    """Give what is written to: a file that is there when it is whole, or standard output."""
    if output is None:
        stream = sys.stdout.buffer
        yield stream
        stream.flush()
        return
    unfinished = output.with_name(output.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(output)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _tell(done: Export, output: Path | None, left_out: list[str], *, as_json: bool) -> None:
    for each in left_out:
        click.echo(f"left out: {cell(each)}", err=True)
    if as_json:
        numbers = {"tasks": done.tasks, "entries": done.entries, "limits": done.limits}
        print_json({**numbers, "left_out": left_out})
    else:
        said = f"{tasks(done.tasks)}, {done.entries:,} periodic, limits of {queues(done.limits)}"
        print(f"exported: {said}", file=sys.stderr if output is None else sys.stdout)
    if left_out:
        raise Unwell(f"{len(left_out):,} could not be exported")


def queues(number: int) -> str:
    """Return a number of queues in words."""
    return f"{number:,} queue" if number == 1 else f"{number:,} queues"


def _version() -> str:
    try:
        return version("qcore-queue")
    except PackageNotFoundError:
        # a source tree that was not installed
        return "0"
