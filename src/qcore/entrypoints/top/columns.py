"""Lay rows out in columns that fit into a width: some are left out, some give or take."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from qcore.domain.record import record

WIDE: Final = 100
"""Characters from which there are two blanks between columns."""


@record
class Column:
    """A column of a list."""

    title: str
    rank: int = 0
    """The higher it is, the sooner the column is left out; with 0 it never is."""
    least: int = 1
    """Characters that it has in any case: what is shown is not to move whenever a number grows."""
    is_right: bool = False
    grows: bool = False
    """Whether it may have less than its cells need, down to `least`."""


@record
class Row:
    """A row of a list."""

    id: str
    """What it is known by from one reading to the next."""
    cells: tuple[Text, ...]
    about: object = None
    """What it stands for: a queue, a task, …"""


@record
class Layout:
    """Columns that are shown, with their widths."""

    columns: Sequence[Column]
    widths: Sequence[int]
    """0 for those that are left out."""
    gap: int

    def titles(self) -> Text:
        """Return the line of titles."""
        return self.line([Text(each.title) for each in self.columns])

    def line(self, cells: Sequence[Text]) -> Text:
        """Return cells as one line."""
        parts = [
            _fitted(cell, width, is_right=column.is_right)
            for cell, column, width in zip(cells, self.columns, self.widths, strict=True)
            if width
        ]
        return Text(" " * self.gap).join(parts)


def layout(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Layout:
    """Return which columns are shown, and how wide each is."""
    gap = 2 if width >= WIDE else 1
    wanted = [_wanted(column, number, rows) for number, column in enumerate(columns)]
    widths = [min(w, c.least) if c.grows else w for w, c in zip(wanted, columns, strict=True)]
    shown = {*range(len(columns))}

    def left() -> int:
        taken: int = sum(widths[i] for i in shown)
        return width - taken - gap * (len(shown) - 1)

    while left() < 0 and any(columns[i].rank for i in shown):
        shown.remove(max(shown, key=lambda i: (columns[i].rank, i)))
    has_room = left() >= 0
    growing = [i for i in shown if columns[i].grows]
    # who can take, or give, least is asked first, and the others for what is left then
    growing.sort(key=lambda i: wanted[i] - widths[i] if has_room else widths[i])
    for number, i in enumerate(growing):
        share = left() // (len(growing) - number)
        widths[i] = max(1, min(wanted[i], widths[i] + share))
    return Layout(columns, [widths[i] if i in shown else 0 for i in range(len(columns))], gap)


def _wanted(column: Column, number: int, rows: Sequence[Row]) -> int:
    cells = (row.cells[number].cell_len for row in rows)
    return max(1 if column.grows else column.least, len(column.title), *cells)


def _fitted(cell: Text, width: int, *, is_right: bool) -> Text:
    fitted = cell.copy()
    fitted.truncate(width, overflow="ellipsis")
    padding = " " * (width - fitted.cell_len)
    return Text.assemble(padding, fitted) if is_right else Text.assemble(fitted, padding)
