"""What a view is: it reads a page from the store, and knows what its rows lead to."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from attrs import field
from rich.text import Text

from qcore.app.client.queries import Query
from qcore.domain.record import record
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order

EVERY: Final = 1.0
"""Seconds from one reading to the next, unless it takes long."""


@record
class Page:
    """What a view shows: as much as fits on the screen, or a little more."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    line: Text = field(factory=Text)
    """What stands above the list: a summary, or tabs."""
    aside: Text = field(factory=Text)
    """What stands beside the title."""
    empty: str = ""
    """What is said where there are no rows: why, and what to do."""
    cursor: str | None = None
    """Asks for the next page."""
    below: "Page | None" = None
    """What is shown below the rows, where they leave room."""


class View(ABC):
    """One of the views; it keeps which page of it is shown, and what is ticked."""

    name: ClassVar[str]
    every: ClassVar[float] = EVERY

    def __init__(self) -> None:
        self._cursors: list[str | None] = [None]
        self.revision = 0
        """Changes when another page is to be read than before."""
        self.page: Page | None = None
        """What was read last."""
        self.ticked: dict[str, Row] = {}
        self.is_all_ticked = False
        """Whether all is meant that the list has, on other pages too."""

    @property
    def query(self) -> Query:
        """Return which tasks it is about, where a filter can change that."""
        return Query()

    @abstractmethod
    async def read(self, store: Store, width: int, height: int) -> Page:
        """Return a page for a list so wide and so many rows high."""

    @abstractmethod
    def title(self) -> str:
        """Return what it shows, in a few words."""

    @abstractmethod
    def command(self) -> str:
        """Return the command that shows the same."""

    def opened(self, row: Row) -> "View | None":  # noqa: ARG002
        """Return what a row leads to, None for nowhere."""
        return None

    def turned(self, by: int) -> bool:  # noqa: ARG002
        """Turn to another tab; return whether there are any."""
        return False

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:  # noqa: ARG002
        """Return an order for rows, to be asked about; None where it means nothing here."""
        return None

    def copied(self, row: Row) -> str:
        """Return what is copied of a row."""
        return row.id

    def filter(self, query: Query) -> bool:  # noqa: ARG002
        """Show the tasks of another query; return whether it can."""
        return False

    def unfilter(self) -> bool:
        """Take the filter away; return whether there was one."""
        return False

    # --- pages ---------------------------------------------------------------------------------

    @property
    def can_tick_all(self) -> bool:
        """Return whether orders can be given for all that the list has."""
        return False

    @property
    def cursor(self) -> str | None:
        """Return where the page begins that is shown."""
        return self._cursors[-1]

    @property
    def page_number(self) -> int:
        """Return which page is shown, from 1."""
        return len(self._cursors)

    def go_on(self, page: Page) -> bool:
        """Go to the page after one; return whether there is any."""
        if page.cursor is None:
            return False
        self._cursors.append(page.cursor)
        self.revision += 1
        return True

    def go_back(self) -> bool:
        """Go to the page before; return whether there is any."""
        if len(self._cursors) == 1:
            return False
        self._cursors.pop()
        self.revision += 1
        return True

    def restart(self) -> None:
        """Go to the first page, with nothing ticked."""
        self._cursors = [None]
        self.revision += 1
        self.drop_ticks()

    def is_ticked(self, row: Row) -> bool:
        """Return whether orders are for a row."""
        return self.is_all_ticked or row.id in self.ticked

    def tick(self, row: Row) -> None:
        """Tick a row, or take the tick away."""
        self.is_all_ticked = False
        if self.ticked.pop(row.id, None) is None:
            self.ticked[row.id] = row

    def drop_ticks(self) -> bool:
        """Take all ticks away; return whether there were any."""
        had_any = bool(self.ticked) or self.is_all_ticked
        self.ticked, self.is_all_ticked = {}, False
        return had_any
