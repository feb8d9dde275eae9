"""The first page: how all queues stand, and what is wrong now."""

from functools import partial
from heapq import nlargest
from typing import Final

from qcore.app.client.qualifiers import QUEUE
from qcore.app.client.queries import Query
from qcore.app.client.query_terms import STAR, Term, Word
from qcore.domain.new_task import MAX_QUEUE
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.statistics import Resolution, Statistics, merged, totals
from qcore.entrypoints.dashboard.charts import HOUR, charts_of, ended, minutes_of
from qcore.entrypoints.dashboard.listing import sizes_of
from qcore.entrypoints.dashboard.problems import Facts, always, problems
from qcore.entrypoints.dashboard.rights import Right
from qcore.entrypoints.dashboard.routes import Route
from qcore.entrypoints.dashboard.visit import Page, Visit

QUEUES: Final = 50
MOST_QUEUES: Final = 100
"""Queues of a page, and of which what has ended is added up: where there are more, of those on the
page. A store has a row for each minute of each."""
NOTHING: Final = Statistics()
DEAD: Final = (State.ARCHIVED, State.DEAD)
NO_TASKS: Final = (0, 0)
"""Of them, where a queue has none."""


@record
class Pace:
    """What has ended in the last hour."""

    statistics: Statistics

    @property
    def per_minute(self) -> float:
        """Return how many runs ended in a minute."""
        return self.statistics.processed / 60

    @property
    def failed_share(self) -> float:
        """Return which share of the runs failed, from 0 to 1."""
        return self.statistics.failed / max(1, self.statistics.processed)

    @property
    def waited(self) -> float | None:
        """Return the seconds that 95 of 100 tasks have waited at most."""
        return self.statistics.waits.quantile(0.95)

    @property
    def ran(self) -> float | None:
        """Return the seconds that 95 of 100 runs have taken at most."""
        return self.statistics.runs.quantile(0.95)


async def overview(visit: Visit) -> Page:
    """Show all queues that the visitor may see."""
    named = visit.query.text("name", most=MAX_QUEUE, default="")
    selected = visit.visitor.rights.query(Right.QUEUE_READ) & _queues_like(named)
    limit = visit.query.whole("limit", 1, MOST_QUEUES, QUEUES)
    page = await visit.inspector.queues(selected, limit=limit, cursor=visit.query.cursor())
    counts = visit.seen(Right.QUEUE_READ, page.counts)
    shown = [each.name for each in page.queues]
    workers = await visit.workers()
    served = {queue for worker in workers or () for queue in worker.queues}
    is_small = len(served.union(counts)) <= MOST_QUEUES
    charted = None if is_small else shown
    minutes = await ended(visit, charted, minutes_of(visit), Resolution.MINUTE)
    since = Resolution.MINUTE.start(visit.now - HOUR.seconds)
    hour = [row for row in minutes if row.start >= since]
    paces = {str(key[0]): Pace(each) for key, each in totals(hour, "queue").items()}
    # of queues in which there are such tasks yet, of those with most
    dead = {name: n for name, held in counts.items() if (n := sum(map(held.get, DEAD, NO_TASKS)))}
    most = nlargest(MOST_QUEUES, dead, key=dead.__getitem__)
    days = await ended(visit, most, float(Resolution.DAY), Resolution.DAY)
    sees_all_workers = visit.visitor.rights.may_everywhere(Right.WORKER_READ)
    examined = visit.board.examined if visit.may(Right.STORE_EXAMINE) else None
    facts = Facts(
        visit.now,
        counts,
        page.queues,
        workers,
        always if sees_all_workers else partial(visit.may, Right.WORKER_READ),
        sees_all_workers,
        sum(each.statistics.dead for each in days),
        counts_all_dead=len(dead) <= MOST_QUEUES,
        findings=() if examined is None else examined.findings,
    )
    values = {
        "queues": page.queues,
        "cursor": page.cursor,
        "named": named,
        "is_first": visit.query.cursor() is None,
        "sizes": sizes_of(counts),
        "number": len(counts),
        "paces": paces,
        "pace": Pace(merged(each.statistics for each in hour)),
        "is_small": is_small,
        "nothing": Pace(NOTHING),
        "workers": workers,
        "problems": problems(facts),
        "charts": await charts_of(visit, charted, minutes),
        "charts_scope": "" if is_small else "of the queues below",
        "charts_fixed": {"name": named or None},
    }
    return Page("overview.html", "Overview", values, ("queues",), live={})


def _queues_like(name: str) -> Query:
    """Return the query for queues that have a text in their names; one with stars is a pattern."""
    if not name:
        return Query()
    return Query((Term(QUEUE, (Word(name if STAR in name else f"*{name}*"),)),))


ROUTES: Final = (Route("GET", "", Right.QUEUE_READ, overview, nav="Overview"),)
