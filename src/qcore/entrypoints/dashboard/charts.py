"""Charts of what has ended over time: counted by the store, drawn on the server as bars."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import floor, log10
from typing import Final
from zoneinfo import ZoneInfo

from attrs import field

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.statistics import Resolution, Statistics, StatisticsRow, merged
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.visit import Visit
from qcore.ports import recording_of

HEIGHT: Final = 100.0
"""Of a chart, in its own units; it is stretched to the width of the page."""
LEAST: Final = 1.5
"""The height of a bar for a number that is not 0: what has happened once is to be seen."""
STEPS: Final = (1, 2, 3, 5, 10)
QUANTILE: Final = 0.95


@record
class Span:
    """How far back a chart goes, and how finely."""

    name: str
    label: str
    text: str
    """Behind "in"."""
    by: Resolution
    periods: int
    """Of the resolution, to a bar."""
    bars: int

    @property
    def width(self) -> float:
        """Return the seconds of a bar."""
        return float(self.by * self.periods)

    @property
    def seconds(self) -> float:
        """Return how far back it goes."""
        return self.width * self.bars

    def label_of(self, start: Moment, zone: ZoneInfo) -> str:
        """Return how a bar that begins at a moment is called; days are those of UTC."""
        if self.by is Resolution.DAY:
            return f"{datetime.fromtimestamp(start, UTC):%d %b}"
        return f"{datetime.fromtimestamp(start, UTC).astimezone(zone):%H:%M}"


HOUR: Final = Span("hour", "Hour", "the last hour", Resolution.MINUTE, 1, 60)
SPANS: Final[Mapping[str, Span]] = {
    each.name: each
    for each in (
        HOUR,
        Span("3h", "3 hours", "the last three hours", Resolution.MINUTE, 3, 60),
        Span("day", "Day", "the last day", Resolution.HOUR, 1, 24),
        Span("30d", "30 days", "the last 30 days", Resolution.DAY, 1, 30),
        Span("90d", "90 days", "the last 90 days", Resolution.DAY, 1, 90),
    )
}
"""Stores count by the minute for three hours, by the hour for two days, and by the day for 90."""


@record
class Bar:
    """What has ended in a part of the time."""

    start: Moment
    label: str
    succeeded: int
    failed: int
    others: int
    """Runs that were snoozed, revoked, or lost with their worker."""
    waited: float | None
    """Seconds that 95 of 100 have waited at most; None where none has run."""

    @property
    def number(self) -> int:
        """Return how many runs have ended."""
        return self.succeeded + self.failed + self.others


@record
class Piece:
    """A rectangle of a chart."""

    kind: str
    """The state of tasks that has its colour."""
    x: int
    y: float
    height: float


@record
class Chart:
    """A chart: what it shows, its scale, and its rectangles."""

    title: str
    top: float
    """What its upper edge stands for."""
    pieces: Sequence[Piece] = field(repr=False)


@record
class Charts:
    """All that a page shows of what has ended in a span."""

    span: Span
    bars: Sequence[Bar] = field(repr=False)
    total: Statistics
    runs: Chart
    waits: Chart

    @property
    def width(self) -> int:
        """Return the width of a chart in its own units: ten to a bar."""
        return 10 * self.span.bars

    @property
    def spans(self) -> Sequence[Span]:
        """Return all spans that can be chosen."""
        return tuple(SPANS.values())


def span_of(visit: Visit) -> Span:
    """Return the span that a request asks for."""
    return SPANS[visit.query.one_of("span", SPANS, HOUR.name)]


def minutes_of(visit: Visit) -> float:
    """Return the seconds of which a page has the minutes that shows the last hour beside a span."""
    span = span_of(visit)
    return max(HOUR.seconds, span.seconds) if span.by is HOUR.by else HOUR.seconds


async def charts_of(
    visit: Visit,
    queues: str | Collection[str] | None,
    minutes: Sequence[StatisticsRow] | None = None,
) -> Charts | None:
    """Return the charts of queues, of all with None; None where the store does not count.

    Of the span that the request asks for, and of what the visitor may see. `minutes` are those of
    `minutes_of`, where a page has read them already.
    """
    if recording_of(visit.board.q.broker) is None:
        return None
    span = span_of(visit)
    if minutes is not None and span.by is HOUR.by:
        return drawn(minutes, span, visit.now, visit.zone)
    rows = await ended(visit, queues, span.seconds, span.by)
    return drawn(rows, span, visit.now, visit.zone)


async def ended(
    visit: Visit, queues: str | Collection[str] | None, seconds: float, by: Resolution
) -> Sequence[StatisticsRow]:
    """Return what has ended in queues that the visitor may see; nothing where nobody counts."""
    if recording_of(visit.board.q.broker) is None:
        return ()
    since = timedelta(seconds=seconds)
    rows = await visit.inspector.statistics(queues, since=since, by=by)
    # asked once for each queue: there may be thousands, with many rows each
    seen = {name for name in {each.queue for each in rows} if visit.may(Right.QUEUE_READ, name)}
    return [each for each in rows if each.queue in seen]


def drawn(rows: Iterable[StatisticsRow], span: Span, now: Moment, zone: ZoneInfo) -> Charts:
    """Return the charts of rows over a span that ends now."""
    # the period that begins at this very moment is in the last bar
    first = (floor(now / span.width) + 1 - span.bars) * span.width
    parts: defaultdict[int, list[Statistics]] = defaultdict(list)
    for row in rows:
        parts[floor((row.start - first) / span.width)].append(row.statistics)
    sums = [merged(parts[at]) for at in range(span.bars)]
    bars = [_bar(span, first + span.width * at, each, zone) for at, each in enumerate(sums)]
    return Charts(span, bars, merged(sums), _runs(bars), _waits(bars))


def _bar(span: Span, start: Moment, ended: Statistics, zone: ZoneInfo) -> Bar:
    return Bar(
        start,
        span.label_of(start, zone),
        ended.succeeded,
        ended.failed,
        ended.processed - ended.succeeded - ended.failed,
        ended.waits.quantile(QUANTILE),
    )


def _runs(bars: Sequence[Bar]) -> Chart:
    top = nice(max(bar.number for bar in bars))
    pieces: list[Piece] = []
    for at, bar in enumerate(bars):
        y = HEIGHT
        parts = ("completed", bar.succeeded), ("archived", bar.others), ("dead", bar.failed)
        for kind, number in parts:
            if number:
                height = min(y, max(LEAST, HEIGHT * number / top))
                y -= height
                pieces.append(Piece(kind, 10 * at, y, height))
    return Chart("Runs", top, pieces)


def _waits(bars: Sequence[Bar]) -> Chart:
    top = nice(max(bar.waited or 0.0 for bar in bars))
    pieces: list[Piece] = []
    for at, bar in enumerate(bars):
        if bar.waited is not None:
            height = max(LEAST, HEIGHT * bar.waited / top)
            pieces.append(Piece("pending", 10 * at, HEIGHT - height, height))
    return Chart("Wait, 95 of 100", top, pieces)


def nice(most: float) -> float:
    """Return the round number for the upper edge of a chart: 1, 2, 3 or 5 times a power of ten."""
    if most <= 0:
        return 1.0
    power = 10.0 ** floor(log10(most))
    return next((step * power for step in STEPS if step * power >= most), 10 * power)
