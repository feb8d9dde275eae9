"""Charts of what has ended: each run in one bar, bars within their chart, no more than is seen."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qcore import Qcore, SkipRetry
from qcore.dashboard import dashboard
from qcore.domain.histogram import Histogram
from qcore.domain.statistics import Outcome, Statistics, StatisticsRow
from qcore.entrypoints.dashboard.charts import HEIGHT, SPANS, Span, drawn, nice
from qcore.testing import drain
from qcore.testing.builders import NOW
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, text_of

UTC = ZoneInfo("UTC")


def a_row(start: float, *waits: float, **counts: int) -> StatisticsRow:
    """Return what has ended in the period that begins at a moment."""
    numbers = {Outcome[name.upper()]: number for name, number in counts.items()}
    return StatisticsRow("q", "n", start, Statistics(numbers, Histogram.of(waits)))


@given(
    some.sampled_from([*SPANS.values()]),
    some.lists(some.tuples(some.floats(0, 1), some.integers(0, 10**9), some.integers(0, 10**9))),
    some.floats(NOW, NOW + 86_400),
)
def test_each_run_is_in_one_bar_and_each_bar_in_the_chart(
    span: Span, ended: list[tuple[float, int, int]], now: float
) -> None:
    """Whatever the numbers, and however the present moment lies in its period."""
    first = span.by.start(now) - span.width * (span.bars - 1)
    rows = [
        a_row(first + span.by.start(at * (now - first) * 0.999), 1.0, succeeded=good, rejected=bad)
        for at, good, bad in ended
    ]
    charts = drawn(rows, span, now, UTC)
    assert len(charts.bars) == span.bars
    assert sum(bar.number for bar in charts.bars) == sum(good + bad for _, good, bad in ended)
    assert charts.bars[-1].start <= now < charts.bars[-1].start + span.width
    for piece in (*charts.runs.pieces, *charts.waits.pieces):
        assert 0 <= piece.x < charts.width
        assert piece.height > 0
        assert 0 <= piece.y <= HEIGHT
        assert piece.y + piece.height <= HEIGHT + 0.01


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 3), (4, 5), (7, 10), (263, 300), (0.11, 0.2), (1e9, 1e9)]
)
def test_the_upper_edge_is_a_round_number(most: float, top: float) -> None:
    """No less than the most, and not far above it."""
    assert nice(most) == pytest.approx(top)


def test_what_fails_is_a_piece_of_its_bar() -> None:
    """In the colour of what is dead, on top of what has succeeded."""
    charts = drawn([a_row(NOW, succeeded=6, rejected=3)], SPANS["hour"], NOW + 1, UTC)
    assert [(each.kind, each.height) for each in charts.runs.pieces] == [
        ("completed", pytest.approx(60)),
        ("dead", pytest.approx(30)),
    ]


def test_bars_are_labelled_in_the_zone_of_the_visitor() -> None:
    """Days are those of UTC, by which stores count."""
    zone = ZoneInfo("Asia/Tokyo")
    [hour] = {bar.label for bar in drawn([], SPANS["hour"], NOW, zone).bars[-1:]}
    [same] = {bar.label for bar in drawn([], SPANS["hour"], NOW, UTC).bars[-1:]}
    assert (int(hour[:2]) - int(same[:2])) % 24 == 9
    labels = [
        [bar.label for bar in drawn([], SPANS["90d"], NOW, each).bars] for each in (zone, UTC)
    ]
    assert labels[0] == labels[1]


async def with_runs(**numbers: int) -> Qcore:
    """Return a store in which so many tasks of each queue have run, and one of them failed."""
    q = a_queue()

    @q.task("t")
    async def handler(ctx: Any, number: int) -> None:
        if not number:
            raise SkipRetry("no")

    for queue, number in numbers.items():
        for each in range(number):
            await handler.using(queue=queue).enqueue(number=each)
    await drain(q)
    return q


@pytest.mark.parametrize("span", SPANS)
async def test_the_pages_show_what_ended_in_a_span(span: str) -> None:
    """As bars, as a sentence for screen readers, and as a table."""
    at = browser(dashboard(await with_runs(mail=4)))
    for name, more in (("", {}), ("queue", {"queue": "mail"})):
        html = await at.page(name, span=span, **more)
        [chosen] = html.css('.spans a[aria-current="true"]')
        assert chosen.text() == SPANS[span].label
        assert str(html.css(".plot svg")[0].attributes["aria-label"]).startswith("4 runs in the")
        [row] = html.css(".charts tbody tr")
        assert [each.text() for each in row.css("td")][:3] == ["3", "1", "0"]


async def test_where_nothing_has_ended_the_page_says_so() -> None:
    """And shows no empty chart."""
    html = await browser(dashboard(a_queue())).page()
    assert html.css(".plot") == []
    assert "No run has ended in the last hour" in text_of(html)


async def test_charts_are_of_what_the_visitor_may_see() -> None:
    """Runs of other queues are in no bar."""
    q = await with_runs(mine=2, theirs=5)
    html = await browser(as_role(q, {"*.read@mine"})).page()
    assert str(html.css(".plot svg")[0].attributes["aria-label"]).startswith("2 runs in the")


async def test_a_span_that_is_none_is_refused() -> None:
    """With 400, which names those that there are."""
    response = await browser(dashboard(a_queue())).get(span="week")
    assert response.status_code == 400
    assert "hour, 3h, day, 30d, 90d" in response.text


async def test_of_many_queues_the_overview_charts_those_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And says so: to add up thousands takes long."""
    monkeypatch.setattr("qcore.entrypoints.dashboard.pages.overview.MOST_QUEUES", 1)
    q = await with_runs(a=2, b=3)
    for queue in ("a", "b"):
        await put(q, queue=queue)
    html = await browser(dashboard(q)).page(limit=1)
    assert "of the queues below" in text_of(html)
    assert str(html.css(".plot svg")[0].attributes["aria-label"]).startswith("2 runs in the")
