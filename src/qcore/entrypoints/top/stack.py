"""Which view is shown, and the way that led there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qcore.entrypoints.top.entry_list import EntryList
from qcore.entrypoints.top.error_list import ErrorList
from qcore.entrypoints.top.overview import Overview
from qcore.entrypoints.top.task_list import TaskList
from qcore.entrypoints.top.view import View
from qcore.entrypoints.top.worker_list import WorkerList

ROOTS: Final[Mapping[str, Callable[[], View]]] = {
    "overview": Overview,
    "tasks": TaskList,
    "workers": WorkerList,
    "errors": ErrorList,
    "periodic": EntryList,
}
"""Action of a key to the view that it leads to."""
FIRST: Final = "overview"


class Stack:
    """The views from one that a number leads to, to the one that is shown."""

    def __init__(self) -> None:
        self._roots = {name: make() for name, make in ROOTS.items()}
        self.root = FIRST
        self._above: list[View] = []

    @property
    def view(self) -> View:
        """Return the view that is shown."""
        return self._above[-1] if self._above else self._roots[self.root]

    @property
    def titles(self) -> Sequence[str]:
        """Return the titles of the way that led there."""
        return [each.title() for each in (self._roots[self.root], *self._above)]

    def go_to(self, root: str) -> None:
        """Show a view that a number leads to."""
        self.root = root
        self._above.clear()

    def turn(self, by: int) -> None:
        """Show the next of the views that numbers lead to."""
        names = [*ROOTS]
        self.go_to(names[(names.index(self.root) + by) % len(names)])

    def open(self, view: View) -> None:
        """Show a view that a row leads to."""
        self._above.append(view)

    def back(self) -> bool:
        """Go back to where that was; return False at the first view."""
        if self._above:
            self._above.pop()
        elif self.root != FIRST:
            self.root = FIRST
        else:
            return False
        return True
