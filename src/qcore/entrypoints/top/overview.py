"""The first view: queues with a bar by state, how long the first task waits, rates, limits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import ClassVar, Final

from rich.text import Text

from qcore.app.client.queries import STATES, Query
from qcore.app.client.queue_listing import QueuePage, QueueSummary
from qcore.domain.moments import Moment
from qcore.domain.states import State
from qcore.domain.workers import Condition, WorkerInfo
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.cli.queue_output import limits_text
from qcore.entrypoints.cli.sparkline import sparkline
from qcore.entrypoints.top import cells
from qcore.entrypoints.top.columns import Column, Row
from qcore.entrypoints.top.orders import Order, for_each
from qcore.entrypoints.top.rates import SPAN, Rate, Rates
from qcore.entrypoints.top.task_list import TaskList
from qcore.entrypoints.top.view import Page, View
from qcore.entrypoints.top.worker_list import running
from qcore.ports import worker_registry_of

WIDE: Final = 160
"""Characters from which bars and sparklines are longer, and all columns there."""
BAR: Final = 10
HIGH: Final = 40
"""Rows from which a third of them is left to what runs."""
WIDE_BAR: Final = 24
NARROW_SPAN: Final = 12
"""Minutes that a sparkline has in a narrow terminal."""
SUMS_EVERY: Final = 5.0
"""Seconds for which the numbers of all tasks are shown, where there are many queues."""
SLOW: Final = 60.0
"""Seconds of waiting from which it is told in another colour."""
BETWEEN: Final = Text(" · ")
NO_RATE: Final = Rate()
HOLDS_BACK: Final = {Condition.BLOCKED, Condition.SILENT}


class Overview(View):
    """The queues, page by page."""

    name: ClassVar[str] = "overview"

    def __init__(self) -> None:
        super().__init__()
        self._rates = Rates()
        self._sums: Mapping[State, int] = {}
        self._summed_at = -inf

    def title(self) -> str:
        """Return what it shows."""
        return "queues"

    def command(self) -> str:
        """Return the command that shows the same."""
        return "qcore queues"

    async def read(self, store: Store, width: int, height: int) -> Page:
        """Return a page of queues: as many as there are rows."""
        limit = height if height < HIGH else height * 2 // 3
        found = await store.inspector.queues(limit=limit, cursor=self.cursor)
        names = [each.name for each in found.queues]
        rates = await self._rates.read(store.broker, names, store.now())
        totals = await self._totals(store, found)
        has_workers = worker_registry_of(store.broker) is not None
        workers = await store.inspector.workers() if has_workers else None
        is_wide, now = width >= WIDE, store.now()
        return Page(
            _columns(is_wide=is_wide),
            [_row(each, rates.get(each.name), is_wide=is_wide) for each in found.queues],
            _sizes(totals),
            _pace(rates, workers, now),
            empty=EMPTY,
            cursor=found.cursor,
            below=running(workers or (), now),
        )

    async def _totals(self, store: Store, found: QueuePage) -> Mapping[State, int]:
        """Return the sizes of all queues: where the page has not all of them, of seconds ago."""
        if found.cursor is not None or self.cursor is not None:
            # a call that counts all of so many queues is not to be made twice a second
            if store.clock.monotonic() - self._summed_at >= SUMS_EVERY:
                self._sums = await store.inspector.totals()
                self._summed_at = store.clock.monotonic()
            return self._sums
        return {state: sum(each.sizes[state] for each in found.queues) for state in STATES}

    def opened(self, row: Row) -> View | None:
        """Return the tasks of a queue."""
        return TaskList(Query.where(queue=row.id))

    async def order(self, store: Store, verb: str, rows: Sequence[Row]) -> Order | None:  # noqa: ARG002
        """Return the order to pause or resume queues."""
        names = [row.id for row in rows]
        if verb not in {"pause", "resume"}:
            return None

        async def change(store: Store, number: int) -> str:
            inspector = store.inspector
            do = inspector.pause if verb == "pause" else inspector.resume
            return limits_text(await do(names[number])).replace("-", "no limits")

        return for_each(
            verb, "queue" if len(names) == 1 else f"{len(names):,} queues", names, change
        )


EMPTY: Final = "no queues yet: enqueue a task, or start a worker (qcore worker module:q)"


def _columns(*, is_wide: bool) -> Sequence[Column]:
    span = SPAN if is_wide else NARROW_SPAN
    return (
        Column("QUEUE", least=10, grows=True),
        Column("BY STATE", rank=4, least=WIDE_BAR if is_wide else BAR),
        Column("PEND", least=5, is_right=True),
        Column("RUN", least=5, is_right=True),
        Column("SCHED", rank=7, least=5, is_right=True),
        Column("RETRY", rank=3, least=5, is_right=True),
        Column("DEAD", rank=1, least=5, is_right=True),
        Column("DONE", rank=9, least=5, is_right=True),
        Column("ARCH", rank=10, least=5, is_right=True),
        Column("WAITS", least=5, is_right=True),
        Column("/MIN", rank=2, least=5, is_right=True),
        Column("FAIL", rank=6, least=5, is_right=True),
        Column(f"{span} MIN", rank=5, least=span),
        Column("WAIT P95", rank=11, is_right=True),
        Column("RUN P95", rank=8, is_right=True),
        Column("LIMITS", rank=2, least=6, grows=True),
    )


def _row(queue: QueueSummary, rate: Rate | None, *, is_wide: bool) -> Row:
    sizes, known = queue.sizes, rate or NO_RATE
    span = SPAN if is_wide else NARROW_SPAN
    picture = sparkline(known.by_minute[-span:], span) if rate else ""
    slow = "yellow" if queue.waited is not None and queue.waited >= SLOW else ""
    return Row(
        queue.name,
        (
            cells.plain(queue.name, "bold"),
            cells.bar(sizes, WIDE_BAR if is_wide else BAR),
            cells.number(sizes[State.PENDING] + sizes[State.AGGREGATING]),
            cells.number(sizes[State.ACTIVE], "green"),
            cells.number(sizes[State.SCHEDULED]),
            cells.number(sizes[State.RETRY], "yellow"),
            cells.number(sizes[State.DEAD], "red"),
            cells.number(sizes[State.COMPLETED]),
            cells.number(sizes[State.ARCHIVED]),
            cells.seconds(queue.waited, slow),
            cells.number(known.processed) if rate else cells.NONE,
            cells.number(known.failed, "red") if rate else cells.NONE,
            Text(picture, style="cyan"),
            cells.seconds(known.recent.waits.quantile(0.95)),
            cells.seconds(known.recent.runs.quantile(0.95)),
            cells.limits(queue.limits),
        ),
        queue,
    )


def _sizes(totals: Mapping[State, int]) -> Text:
    """Return the numbers of tasks by state."""
    told = [
        Text(f"{cells.compact(n)} {state}", style=cells.STYLES[state])
        for state in STATES
        if (n := totals.get(state, 0))
    ]
    return BETWEEN.join(told or [Text("no tasks are stored")])


def _pace(rates: Mapping[str, Rate], workers: Sequence[WorkerInfo] | None, now: Moment) -> Text:
    """Return how fast the queues of the page run, and who works."""
    told: list[Text] = []
    if rates:
        processed = sum(each.processed for each in rates.values())
        failed = sum(each.failed for each in rates.values())
        told.append(Text(f"{cells.compact(processed / 60)}/s"))
        told += [Text(f"{cells.compact(failed)} failed/min", style="red")] if failed else []
    if workers is not None:
        told.append(_told(Counter(each.condition(now) for each in workers)))
    return BETWEEN.join(told)


def _told(workers: Mapping[Condition, int]) -> Text:
    total = sum(workers.values())
    if not total:
        return Text("no worker", style="red")
    text = Text(f"{total:,} worker{'s' * (total > 1)}")
    for condition in Condition:
        if condition is not Condition.RUNNING and workers.get(condition):
            style = "red" if condition in HOLDS_BACK else "yellow"
            text.append(f", {workers[condition]:,} {condition}", style)
    return text
