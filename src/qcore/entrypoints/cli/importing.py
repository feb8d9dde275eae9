"""`qcore import`: store what was exported, here or elsewhere."""

import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import click

from qcore.app.client.importing import Import, ImportReport, NotWhole, check_whole
from qcore.entrypoints.cli.asking import Store, ask, json_option, url_option
from qcore.entrypoints.cli.errors import Unwell
from qcore.entrypoints.cli.exporting import queues
from qcore.entrypoints.cli.output import cell, print_json
from qcore.entrypoints.written_numbers import tasks

STDIN: Final = "-"


@click.command("import")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what it would be, and write nothing.")
@url_option
@json_option
def import_(file: Path, url: str | None, *, is_dry: bool, as_json: bool) -> None:
    """Store the tasks, limits and periodic tasks of FILE as they were ("-": standard input).

    What is there already stays as it is, so that a second import changes nothing. Of a line that
    cannot be stored nothing is written: its number is told, and the exit status is 1.
    """
    refused: list[dict[str, Any]] = []

    def refuse(number: int, why: str) -> None:
        refused.append({"line": number, "why": why})
        click.echo(f"line {number:,}: {cell(why)}", err=True)

    with _opened(file) as lines:
        try:
            check_whole(lines)
        except NotWhole as why:
            raise Unwell(f"{file}: {why}") from None
        lines.seek(0)

        async def call(store: Store) -> ImportReport:
            await store.client.open()
            made = Import(store.broker, store.now, refuse)
            return await (made.look(lines) if is_dry else made.write(lines))

        report = ask(url, call, may_make_file=not is_dry)
    _tell(report, refused, is_dry=is_dry, as_json=as_json)


@contextmanager
def _opened(file: Path) -> Generator[IO[bytes], None, None]:
    """Give the lines, so that they can be read twice: first to see whether they are whole."""
    if str(file) != STDIN:
        with file.open("rb") as lines:
            yield lines
        return
    with TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


def _tell(
    report: ImportReport, refused: list[dict[str, Any]], *, is_dry: bool, as_json: bool
) -> None:
    if as_json:
        numbers = {"tasks": report.tasks, "entries": report.entries, "limits": report.limits}
        print_json({"dry_run": is_dry, **numbers, "present": report.present, "refused": refused})
    else:
        said = f"{tasks(report.tasks)}, {report.entries:,} periodic, "
        said += f"limits of {queues(report.limits)}"
        verb = "would import" if is_dry else "imported"
        click.echo(f"{verb}: {said}; {report.present:,} there already, {report.refused:,} refused")
    if report.refused:
        lines = "1 line was" if report.refused == 1 else f"{report.refused:,} lines were"
        raise Unwell(f"{lines} refused: nothing of them was written")
