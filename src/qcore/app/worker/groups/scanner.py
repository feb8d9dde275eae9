"""Look through the groups of a worker's queues: which are ready, and when the next one will be."""

from asyncio import Event
from collections.abc import AsyncIterator, Container, Sequence
from typing import Final, TypeAlias

from qcore.app.calls.name_patterns import PREFIX_ENDS_WITH
from qcore.app.tasks.aggregators import AggregationTiming, Aggregator, Aggregators
from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.retrying import Retrying
from qcore.domain.events import NoAggregator
from qcore.domain.groups import Group
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.ports import Aggregating, Clock

PAGE: Final = 1_000
"""Groups that are read in one call."""
MAX_WARNED: Final = 1_000
"""Kinds of groups without an aggregator that are reported: their names come from outside."""

GroupKey: TypeAlias = tuple[str, str]
"""A queue, and the name of a group in it."""


@record
class ReadyGroup:
    """A group to be aggregated now, its aggregator, and how many members that may take."""

    group: Group
    aggregator: Aggregator
    max_size: int

    @property
    def key(self) -> GroupKey:
        """Return its queue and its name."""
        return self.group.queue, self.group.name


class GroupScanner:
    """Scan all groups; what it learned of those not ready is in its attributes after a scan."""

    def __init__(
        self,
        queues: Sequence[str],
        aggregators: Aggregators,
        defaults: AggregationTiming,
        *,
        broker: Aggregating,
        backoff: FailureBackoff[GroupKey],
        clock: Clock,
        retrying: Retrying,
        emit: Instruments,
        stopping: Event,
    ) -> None:
        self._queues = queues
        self._aggregators = aggregators
        self._defaults = defaults
        self._broker = broker
        self._backoff = backoff
        self._clock = clock
        self._retrying = retrying
        self._emit = emit
        self._stopping = stopping
        self._warned: set[tuple[str, str]] = set()
        self.seconds = 0.0
        """How long the last scan waited for the broker."""
        self.has_members = False
        """Whether there are members that can be aggregated here."""
        self.next_look: Moment | None = None
        """When the next group is ready, or may be tried again after a failure."""
        self.next_ready: Moment | None = None
        """When the next group is ready, of those that have not failed."""

    async def scan(self, in_hand: Container[GroupKey]) -> AsyncIterator[ReadyGroup]:
        """Yield the groups that are ready, but for those in hand.

        Raises `GaveUp` if the broker is unavailable and the worker is asked to stop.
        """
        self.next_look = self.next_ready = None
        self.has_members = False
        self.seconds = 0.0
        for queue in self._queues:
            async for group in self._groups(queue):
                ready = self._consider(group, in_hand)
                if ready is not None:
                    yield ready

    async def _groups(self, queue: str) -> AsyncIterator[Group]:
        """Yield the groups of a queue, read page by page."""
        after = ""
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            page = await self._page(queue, after)
            self.seconds += self._clock.monotonic() - began
            for group in page:
                yield group
            if len(page) < PAGE:
                return
            after = page[-1].name

    async def _page(self, queue: str, after: str) -> Sequence[Group]:
        return await self._retrying.call(
            "groups",
            lambda: self._broker.groups(queue, PAGE, after=after),
            stop=self._stopping,
        )

    def _consider(self, group: Group, in_hand: Container[GroupKey]) -> ReadyGroup | None:
        """Return a group if it is ready; else note when it will be."""
        aggregator = self._aggregators.resolve(group.queue, group.name)
        if aggregator is None:
            self._warn(group)
            return None
        self.has_members = True
        key = group.queue, group.name
        if key in in_hand:
            return None
        timing = aggregator.timing(self._defaults)
        ready_at, retry_at = timing.moment(group), self._backoff.retry_at(key)
        if max(ready_at, retry_at) <= self._clock.now():
            return ReadyGroup(group, aggregator, timing.limit)
        self.next_look = _earlier(self.next_look, max(ready_at, retry_at))
        if key not in self._backoff:
            self.next_ready = _earlier(self.next_ready, ready_at)
        return None

    def _warn(self, group: Group) -> None:
        """Report a group that has no aggregator here, once for all groups of its prefix."""
        kind = group.queue, group.name.partition(PREFIX_ENDS_WITH)[0]
        if kind not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(kind)
            self._emit(NoAggregator(group))


def _earlier(one: Moment | None, other: Moment) -> Moment:
    return other if one is None else min(one, other)
