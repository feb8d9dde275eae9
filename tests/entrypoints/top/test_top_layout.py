"""Columns, numbers and rates of `qcore top`, without a terminal."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.statistics import Resolution
from qcore.domain.task import Verdict
from qcore.domain.transitions import Failed, Succeeded
from qcore.entrypoints.top.cells import compact
from qcore.entrypoints.top.columns import Column, Row, layout
from qcore.entrypoints.top.rates import Rates
from qcore.ports import Verb
from qcore.testing.builders import NOW, a_demand, some_tasks

COLUMNS = st.lists(
    st.builds(
        Column,
        title=st.text(st.characters(codec="ascii", categories=["L"]), max_size=9),
        rank=st.integers(0, 3),
        least=st.integers(1, 12),
        is_right=st.booleans(),
        grows=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(columns=COLUMNS, width=st.integers(1, 220), data=st.data())
def test_a_line_is_no_wider_than_the_terminal(
    columns: list[Column], width: int, data: st.DataObject
) -> None:
    """Unless what is always shown does not fit; all lines are of one width."""
    texts = st.lists(st.text(max_size=30), min_size=len(columns), max_size=len(columns))
    cells = data.draw(st.lists(texts, max_size=4))
    rows = [Row(str(n), tuple(map(Text, each))) for n, each in enumerate(cells)]
    shape = layout(columns, rows, width)
    lines = [shape.titles(), *(shape.line(row.cells) for row in rows)]
    assert len({line.cell_len for line in lines}) == 1
    kept = [w for w, c in zip(shape.widths, columns, strict=True) if w and not c.grows]
    growing = sum(1 for w, c in zip(shape.widths, columns, strict=True) if w and c.grows)
    least = sum(kept) + growing + shape.gap * (len(kept) + growing - 1)
    assert lines[0].cell_len <= max(width, least)


def test_a_column_without_a_text_has_its_place() -> None:
    """It is seen to have it, before others are given what is left."""
    columns = [Column("AA", least=2, grows=True), Column("", grows=True), Column("B", least=6)]
    assert list(layout(columns, (), 10).widths) == [1, 1, 6]


def test_a_column_that_matters_less_is_left_out_first() -> None:
    """And comes back where there is room."""
    columns = [Column("A", least=10), Column("B", rank=1, least=10), Column("C", rank=2, least=10)]
    assert list(layout(columns, (), 40).widths) == [10, 10, 10]
    assert list(layout(columns, (), 25).widths) == [10, 10, 0]
    assert list(layout(columns, (), 12).widths) == [10, 0, 0]


@given(st.integers(0, 10**12))
def test_a_number_has_five_characters_at_most(value: int) -> None:
    """And is never more than there are."""
    shown = compact(value)
    assert len(shown) <= 5
    size = {"k": 1e3, "M": 1e6, "G": 1e9}.get(shown[-1], 1)
    assert float(shown.rstrip("kMG")) * size <= value * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (9_999, "9999"), (12_345, "12.3k"), (999_999, "999k"), (1_250_000, "1.2M")],
)
def test_large_numbers_have_a_unit(value: int, shown: str) -> None:
    """As people read them."""
    assert compact(value) == shown


class Asked(ForwardingBroker):
    """Notes what is asked of statistics."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker())
        self.asked: list[tuple[list[str], float]] = []

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[Any]], /, **arguments: Any
    ) -> Any:
        if verb == "statistics":
            self.asked.append(([*arguments["queues"]], arguments["since"]))
        return await call()


async def ended(broker: Asked, number: int, at: float, *, fails: bool = False) -> None:
    """End runs of the queue mail."""
    await broker.enqueue(some_tasks(number, queue="mail"), now=at)
    claims = await broker.claim(a_demand(number, mail=number), now=at, until=at + 30)
    outcome = Failed("no", again_at=at + 9_999) if fails else Succeeded()
    await broker.settle([Verdict(each.lease, outcome) for each in claims], now=at)


async def test_a_rate_is_of_the_last_sixty_seconds() -> None:
    """Of the minute before the current one a share; the picture has each minute."""
    broker, rates = Asked(), Rates()
    await ended(broker, 60, NOW - 30)
    await ended(broker, 5, NOW + 10, fails=True)
    rate = (await rates.read(broker, ["mail"], NOW + 15))["mail"]
    assert rate.processed == 60 * 0.75 + 5
    assert rate.failed == 5
    assert list(rate.by_minute[-3:]) == [0, 60, 5]


async def test_only_minutes_that_may_have_changed_are_asked_for_again() -> None:
    """So a picture of half an hour costs as much as one of a minute."""
    broker, rates = Asked(), Rates()
    await ended(broker, 3, NOW - 600)
    await rates.read(broker, ["mail", "sms"], NOW + 10)
    await rates.read(broker, ["mail", "sms"], NOW + 70)
    late = await rates.read(broker, ["mail", "new"], NOW + 71)
    first = NOW - 29 * Resolution.MINUTE
    assert broker.asked == [
        (["mail", "sms"], first),
        (["mail", "sms"], NOW),
        (["mail"], NOW + 60),
        (["new"], first + 60),
    ]
    assert sum(late["mail"].by_minute) == 3
