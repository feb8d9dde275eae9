"""The lines around a list: which view, of which store, whether it answers, and what keys do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from qcore.domain.moments import Moment
from qcore.entrypoints.cli.output import cell
from qcore.entrypoints.top.keys import KEYS
from qcore.entrypoints.top.refreshing import Outage
from qcore.entrypoints.top.stack import ROOTS
from qcore.entrypoints.written_times import short

HINTS: Final = "? keys  / filter  Enter open  Esc back  Space hold  q quit"
ORDERS: Final = "? keys  / filter  x tick  p pause  r run  c cancel  q quit"
ALL: Final = f"{HINTS}  x tick  p pause  u resume  r run  c cancel  a archive  d delete"


ROOM: Final = 20
"""Characters for the cost beside them."""


def clock_time(moment: Moment) -> str:
    """Return the time of day of a moment, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%SZ")


def trail(titles: Sequence[str], width: int) -> str:
    """Return the way to a view: where it is too long, its end."""
    kept = [*titles]
    while len(kept) > 1 and len(" > ".join(kept)) > width:
        kept = ["…", *kept[2:]] if kept[0] == "…" else ["…", *kept[1:]]
    return " > ".join(kept)


def between(left: Text, right: Text, width: int) -> Text:
    """Return a line with one text on its left and one on its right, which is always whole."""
    shown = left.copy()
    shown.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis")
    return Text.assemble(shown, " " * max(0, width - shown.cell_len - right.cell_len), right)


def head(root: str, at: Moment, width: int, *, is_read_only: bool, is_held: bool) -> Text:
    """Return the first line: the views, and how this one stands."""
    names = [
        Text(f" {key.keys[0]} {key.action} ", style="reverse" if key.action == root else "bold")
        for key in KEYS
        if key.action in ROOTS
    ]
    right = Text.assemble(
        *([("HELD ", "yellow")] if is_held else []),
        ("read-only " if is_read_only else "changes! ", "" if is_read_only else "red"),
        clock_time(at),
    )
    return between(Text(" ").join(names), right, width)


def trouble(outage: Outage, now: Moment) -> Text:
    """Return what is told of a store that does not answer."""
    since = f"no answer since {clock_time(outage.since)}, {short(now - outage.since)}"
    return Text(f"{since}; it is asked again and again: {cell(outage.error)}", style="red")


def question(text: str, width: int) -> Text:
    """Return what is asked; how it is answered is never cut."""
    line = between(Text(f"{cell(text)}?"), Text(" y: yes, any other key: no"), width)
    line.stylize("reverse")
    return line


def hints(width: int, *, is_read_only: bool) -> Text:
    """Return the keys that are needed most."""
    told = HINTS if is_read_only else ALL if width > len(ALL) + ROOM else ORDERS
    return Text(told, style="bright_black")


def cost(calls: int, seconds: float) -> Text:
    """Return what the last reading has cost the store."""
    return Text(f"{calls:,} call{'s' * (calls != 1)} {short(seconds)}", style="bright_black")
