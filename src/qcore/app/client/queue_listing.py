"""List the queues, page by page, with what is in them and for how long it has waited."""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field

from qcore.app.client.qualifiers import QUEUE
from qcore.app.client.queries import STATES, Query
from qcore.app.client.selection import page_cursor
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.new_task import FIELDS
from qcore.domain.queue_limits import Limits
from qcore.domain.record import record
from qcore.domain.states import State
from qcore.domain.text import shown
from qcore.ports import Broker, Counts, limiting_of, periodic_of, worker_registry_of

DEFAULT_QUEUES: Final = 100


@record
class QueueSummary:
    """How a queue stands."""

    name: str
    sizes: Mapping[State, int] = field(hash=False)
    """Each state with its number of tasks, also where that is 0."""
    waited: float | None = None
    """Seconds for which the task that has waited longest has been ready to be run; None where none
    is. Of each priority the next in turn counts."""
    limits: Limits | None = None
    """None where the broker has no limits."""

    @property
    def is_paused(self) -> bool:
        """Return whether nothing of it is handed out."""
        return self.limits is not None and self.limits.is_paused


@record
class QueuePage:
    """Some of the queues, in the order of their names."""

    queues: Sequence[QueueSummary]
    cursor: str | None = None
    """Asks for those after them; None at the end."""
    counts: Counts = field(default=FrozenDict(), hash=False, repr=False)
    """Of all queues that have tasks, as they were when this page was made: state to number."""


EVERY_QUEUE: Final = Query()


def about_queues(query: Query) -> Query:
    """Return a query; raise `InvalidOption` for one that asks for more than names of queues."""
    other = [term.qualifier for term in query.terms if term.qualifier != QUEUE]
    if other:
        raise InvalidOption(f"the query of queues has {other[0]}:…: expected only queue:…")
    return query


def queues_cursor(cursor: str | None) -> str | None:
    """Return where a page begins, after a queue's name; raise `InvalidOption` for what is none."""
    if page_cursor(cursor) is not None:
        try:
            FIELDS["queue"].check("cursor", cursor)
        except InvalidTask:
            raise InvalidOption(
                f"cursor is {shown(cursor)}: expected that of a page of queues"
            ) from None
    return cursor


class QueueListing:
    """The queues of a broker: those with tasks or entries, and those that a worker serves."""

    def __init__(self, broker: Broker, now: Moment, query: Query = EVERY_QUEUE) -> None:
        self._broker = broker
        self._now = now
        self._has = query.has_queue

    async def page(self, limit: int, after: str | None) -> QueuePage:
        """Return at most `limit` queues, those whose names come after one."""
        counts = await self._broker.count()
        known = await queue_names(self._broker, counts, self._now)
        found = (name for name in known if self._has(name))
        names = sorted(name for name in found if after is None or name > after)
        shown = names[:limit]
        limits = await self._limits(shown)
        waited = await self._waited([name for name in shown if name in counts])
        queues = [
            QueueSummary(
                name,
                {state: counts.get(name, {}).get(state, 0) for state in STATES},
                waited.get(name),
                limits.get(name),
            )
            for name in shown
        ]
        return QueuePage(queues, shown[-1] if len(names) > limit else None, counts)

    async def _limits(self, names: Sequence[str]) -> Mapping[str, Limits]:
        limiting = limiting_of(self._broker)
        if limiting is None or not names:
            return {}
        return dict(zip(names, await limiting.limits(names), strict=True))

    async def _waited(self, queues: Sequence[str]) -> Mapping[str, float]:
        """Return queue to the seconds for which a task of it has been ready."""
        found = await self._broker.ready_since(queues, now=self._now)
        since = zip(queues, found, strict=True)
        return {queue: self._now - moment for queue, moment in since if moment is not None}


async def queue_names(broker: Broker, counts: Counts, now: Moment) -> set[str]:
    """Return the names of all queues: of those counted, those with entries, and those served."""
    names = {*counts}
    if (periodic := periodic_of(broker)) is not None:
        names.update(await periodic.entry_queues())
    if (registry := worker_registry_of(broker)) is not None:
        for worker in await registry.workers(now=now):
            names.update(worker.queues)
    return names
