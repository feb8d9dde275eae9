"""What keys do that move: from row to row, page to page, tab to tab, and from view to view."""

from typing import Protocol

from qcore.entrypoints.top.listing import Listing
from qcore.entrypoints.top.stack import Stack


class Shows(Protocol):
    """What shows a view, and tells the user something."""

    def say(self, text: str, style: str = "") -> None:
        """Tell something in the last line."""
        ...

    def reread(self) -> None:
        """Read what is to be shown now."""
        ...


class Navigation:
    """The keys that move; each is the method of its action, after `do_`."""

    def __init__(self, stack: Stack, listing: Listing, screen: Shows) -> None:
        self._stack = stack
        self._listing = listing
        self._screen = screen

    # --- rows and pages ------------------------------------------------------------------------

    def do_down(self) -> None:
        """Go to the next row."""
        if not self._listing.move(1):
            self._turn_page(1)

    def do_up(self) -> None:
        """Go to the row before."""
        if not self._listing.move(-1):
            self._turn_page(-1)

    def do_next_page(self) -> None:
        """Go a screen on."""
        if not self._listing.leap(1):
            self._turn_page(1)

    def do_previous_page(self) -> None:
        """Go a screen back."""
        if not self._listing.leap(-1):
            self._turn_page(-1)

    def do_first(self) -> None:
        """Go to the first row."""
        self._listing.go_to(0)

    def do_last(self) -> None:
        """Go to the last row of the page."""
        self._listing.go_to(len(self._listing.page.rows))

    def _turn_page(self, by: int) -> None:
        view = self._stack.view
        if not self._listing.is_of(view):
            # the page that was asked for is yet to come
            return
        if view.go_on(self._listing.page) if by > 0 else view.go_back():
            self._screen.reread()

    # --- tabs and views ------------------------------------------------------------------------

    def do_left(self) -> None:
        """Go to the tab on the left, or back."""
        if self._stack.view.turned(-1):
            self._screen.reread()
        else:
            self.do_back()

    def do_right(self) -> None:
        """Go to the tab on the right, or open."""
        if self._stack.view.turned(1):
            self._screen.reread()
        else:
            self.do_open()

    def do_next_tab(self) -> None:
        """Go to the next tab, or view."""
        self._turn(1)

    def do_previous_tab(self) -> None:
        """Go to the tab before, or view."""
        self._turn(-1)

    def _turn(self, by: int) -> None:
        if not self._stack.view.turned(by):
            self._stack.turn(by)
        self._screen.reread()

    def do_overview(self) -> None:
        """Show the queues."""
        self._go_to("overview")

    def do_tasks(self) -> None:
        """Show tasks."""
        self._go_to("tasks")

    def do_workers(self) -> None:
        """Show the workers."""
        self._go_to("workers")

    def do_errors(self) -> None:
        """Show failed tasks by cause."""
        self._go_to("errors")

    def do_periodic(self) -> None:
        """Show periodic tasks."""
        self._go_to("periodic")

    def _go_to(self, root: str) -> None:
        self._stack.go_to(root)
        self._screen.reread()

    def do_open(self) -> None:
        """Show what a row leads to."""
        view, row = self._stack.view, self._listing.row
        if row is None or not self._listing.is_of(view):
            return
        if (opened := view.opened(row)) is not None:
            self._stack.open(opened)
            self._screen.reread()

    def do_back(self) -> None:
        """Drop ticks, or a filter, or go back to where it was opened."""
        view = self._stack.view
        if view.drop_ticks() or view.unfilter() or self._stack.back():
            self._screen.reread()

    # --- ticks ---------------------------------------------------------------------------------

    def do_tick(self) -> None:
        """Tick a row, and go to the next one."""
        row = self._listing.row
        if row is not None and self._listing.is_of(self._stack.view):
            self._stack.view.tick(row)
            self._listing.move(1)
            self._listing.refresh()

    def do_tick_all(self) -> None:
        """Tick all that the list has."""
        view = self._stack.view
        if not view.can_tick_all:
            self._screen.say("here rows are ticked one by one, with x", "yellow")
            return
        view.ticked, view.is_all_ticked = {}, not view.is_all_ticked
        self._listing.refresh()
        if view.is_all_ticked:
            self._screen.say(f"all tasks of {view.title()}, on other pages too")
