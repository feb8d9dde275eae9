"""What commands print: a table in a terminal, lines of cells in a pipe, or one JSON document."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import click

JSON_VERSION: Final = 1
"""Of the keys in JSON documents: raised when one is renamed, removed or means something else."""
CLEAR_LINE: Final = "\r\x1b[K"
BETWEEN: Final = "  "
HAS_PRINTED: Final = "qcore.has_printed_json"


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: aligned below their titles in a terminal, else a line of cells with tabs each.

    A cell that may be styled is given by `click.style`; colours go where nobody reads along, and
    where `NO_COLOR` is set.
    """
    table = [[click.style(title, bold=True) for title in titles], *rows]
    print_lines(_aligned(table) if is_terminal() else ("\t".join(row) for row in rows))


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, a line each: aligned in a terminal, else with a tab."""
    print_lines(_aligned(pairs) if is_terminal() else ("\t".join(pair) for pair in pairs))


def print_lines(lines: Iterable[str], *, end: str = "\n") -> None:
    """Print lines that may be styled."""
    for line in lines:
        click.echo(f"{line}{end}", nl=False, color=False if os.environ.get("NO_COLOR") else None)


def is_terminal() -> bool:
    """Return whether somebody reads along."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return how many characters a line of the terminal has; 80 where there is none."""
    return shutil.get_terminal_size().columns


def table_width(table: Sequence[Sequence[str]]) -> int:
    """Return how many characters a line has of a table in a terminal."""
    widths = _widths(table)
    return sum(widths) + len(BETWEEN) * (len(widths) - 1)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document, in ASCII, with the version of its keys."""
    _print_json(document, indent=2)


def print_json_line(document: Mapping[str, object]) -> None:
    """Print a JSON document as one line, as one of several."""
    _print_json(document, indent=None)


def print_json_error(message: str, status: int) -> None:
    """Print an error as the one document of a command, unless that has printed one already.

    It is one line, as it may stand where others print a document a line.
    """
    context = click.get_current_context(silent=True)
    if context is None or HAS_PRINTED not in context.meta:
        print_json_line({"error": {"status": status, "message": message}})


def _print_json(document: Mapping[str, object], *, indent: int | None) -> None:
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta[HAS_PRINTED] = True
    click.echo(json.dumps({"version": JSON_VERSION, **document}, indent=indent, allow_nan=False))


def cell(text: str) -> str:
    """Return text without what a terminal would obey, or a pipe take for the end of a cell."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = _widths(table)
    for row in table:
        cells = [
            each + " " * (width - len(click.unstyle(each)))
            for each, width in zip(row, widths, strict=True)
        ]
        yield BETWEEN.join(cells).rstrip()


def _widths(table: Sequence[Sequence[str]]) -> Sequence[int]:
    columns = zip(*table, strict=True)
    return [max(len(click.unstyle(each)) for each in column) for column in columns]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", errors="backslashreplace").decode()
