"""The keys, as a view of their own."""

from typing import ClassVar, Final

from rich.text import Text

from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.keys import KEYS, Key
from qcore.entrypoints.top.view import Page, View

COLUMNS: Final = (Column("KEY", least=12), Column("DOES", least=20, grows=True))


class HelpView(View):
    """What each key does, and what the marks of a bar mean."""

    name: ClassVar[str] = "help"
    every: ClassVar[float] = 3_600.0

    def __init__(self, *, is_read_only: bool) -> None:
        super().__init__()
        self._is_read_only = is_read_only

    def title(self) -> str:
        """Return what it shows."""
        return "keys"

    def command(self) -> str:
        """Return the command that tells more."""
        return "qcore top --help"

    async def read(self, store: Store, width: int, height: int) -> Page:  # noqa: ARG002
        """Return the table of keys; the store is not asked."""
        marks = [
            Text.assemble((f"{cells.MARKS[state]} {state}", style))
            for state, style in cells.STYLES.items()
        ]
        rows = [self._row(each) for each in KEYS]
        return Page(COLUMNS, rows, Text("  ").join(marks))

    def _row(self, key: Key) -> Row:
        is_idle = key.is_order and self._is_read_only
        does = f"{key.does} (with --allow-changes)" if is_idle else key.does
        return Row(
            key.action,
            (Text(key.shown, style="bold"), Text(does, style="bright_black" if is_idle else "")),
            key,
        )
