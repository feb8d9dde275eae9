"""The widget of a list: titles, rows, and a cursor that stays on its row from page to page."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual.widget import Widget

from qcore.entrypoints.top.columns import Layout, Row, layout
from qcore.entrypoints.top.view import Page, View

TICK: Final = "×"
CURSOR: Final = "▸"
GUTTER: Final = len(CURSOR + TICK)
WORTH_IT: Final = 4
"""Lines from which something is shown below the rows."""
NOTHING: Final = Page((), ())


class Listing(Widget):
    """Show a page; it never scrolls sideways, as columns are left out instead."""

    DEFAULT_CSS = "Listing { height: 1fr; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._page = NOTHING
        self.view: View | None = None
        """The view whose page is shown."""
        self._revision = 0
        self._at = 0
        self._top = 0

    @property
    def room(self) -> int:
        """Return how many rows fit."""
        return max(1, self.size.height - 1)

    @property
    def row(self) -> Row | None:
        """Return the row under the cursor."""
        return self._page.rows[self._at] if self._page.rows else None

    @property
    def page(self) -> Page:
        """Return the page that is shown."""
        return self._page

    def show(self, page: Page, view: View) -> None:
        """Show a page of a view; read anew, the cursor stays on the row that it was on."""
        row, is_same = self.row, self.is_of(view)
        self._page, self.view, self._revision = page, view, view.revision
        ids = [row.id for row in page.rows]
        if not is_same:
            self._at = 0
        elif row is not None and row.id in ids:
            self._at = ids.index(row.id)
        self.go_to(self._at)

    def is_of(self, view: View) -> bool:
        """Return whether it shows the page that a view is to show, and not yet another one."""
        return self.view is view and self._revision == view.revision

    def go_to(self, at: int) -> None:
        """Put the cursor on a row; one that is not there is the first or the last."""
        self._at = max(0, min(at, len(self._page.rows) - 1))
        self._top = max(self._at - self.room + 1, min(self._top, self._at))
        self._top = max(0, min(self._top, len(self._page.rows) - self.room))
        self.refresh()

    def move(self, by: int) -> bool:
        """Move the cursor; return False where no row is there."""
        at = self._at + by
        if not 0 <= at < len(self._page.rows):
            return False
        self.go_to(at)
        return True

    def leap(self, screens: int) -> bool:
        """Move by screens of rows; return False at the end."""
        at = max(0, min(self._at + screens * self.room, len(self._page.rows) - 1))
        has_moved = at != self._at
        self.go_to(at)
        return has_moved

    def render(self) -> Text:
        """Return the lines that are shown."""
        rows = self._page.rows
        if not rows:
            return Text(self._page.empty, style="bright_black")
        shape = layout(self._page.columns, rows, self.size.width - GUTTER)
        shown = range(self._top, min(len(rows), self._top + self.room))
        lines = [self._line(rows[n], shape.line(rows[n].cells), n == self._at) for n in shown]
        if any(each.title for each in self._page.columns):
            lines.insert(0, _titles(shape))
        return Text("\n").join([*lines, *self._below(self.size.height - len(lines))])

    def _below(self, room: int) -> Sequence[Text]:
        """Return what stands below the rows, where there is room for it."""
        below = self._page.below
        if below is None or not below.rows or room < WORTH_IT:
            return []
        shape = layout(below.columns, below.rows, self.size.width - GUTTER)
        rows = below.rows[: room - 2]
        gutter = " " * GUTTER
        lines = [Text.assemble(gutter, shape.line(row.cells)) for row in rows]
        return [Text(), _titles(shape), *lines]

    def _line(self, row: Row, cells: Text, is_current: bool) -> Text:  # noqa: FBT001
        is_ticked = self.view is not None and self.view.is_ticked(row)
        gutter = (CURSOR if is_current else " ") + (TICK if is_ticked else " ")
        line = Text.assemble(gutter, cells)
        if not is_current:
            return line
        line.pad_right(max(0, self.size.width - line.cell_len))
        # of one style: colours in reverse would be blots
        return Text(line.plain, style="reverse")


def _titles(shape: Layout) -> Text:
    titles = Text.assemble(" " * GUTTER, shape.titles())
    titles.stylize("bold underline")
    return titles
