"""What an inspector reads: counts, tasks by id, workers, what keeps a task waiting, statistics."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from math import inf, nextafter
from typing import Final, Literal

from qcore.app.client.group_listing import DEFAULT_WAITING, GroupPage, aggregating, group_page
from qcore.app.client.query_inspector import QueryInspector
from qcore.app.client.queue_size import DEFAULT_SAMPLE, QueueSize, queue_size
from qcore.app.client.selection import (
    one_group,
    one_id,
    one_name,
    one_queue,
    page_cursor,
    page_size,
)
from qcore.app.client.task_listing import one_or_more
from qcore.app.client.waiting import Hindrance, hindrances, knowing
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment, moment_of, seconds_of
from qcore.domain.new_task import TaskId
from qcore.domain.queue_limits import NO_LIMITS, Limits
from qcore.domain.run_details import Details
from qcore.domain.states import State, state_of
from qcore.domain.statistics import Resolution, StatisticsRow
from qcore.domain.task import Task
from qcore.domain.workers import WorkerInfo
from qcore.ports import (
    Counts,
    Limiting,
    Page,
    WorkerRegistry,
    limiting_of,
    recording_of,
    worker_registry_of,
)

LAST_HOUR: Final = timedelta(hours=1)
WAITING: Final = frozenset({State.PENDING, State.SCHEDULED, State.RETRY, State.AGGREGATING})
"""The states of tasks that are yet to be run."""


class ReadingInspector(QueryInspector):
    """The part of an inspector that reads what a broker holds."""

    async def counts(self) -> Counts:
        """Return queue to state to number of tasks; states with none are left out."""
        return await self._broker.count()

    async def totals(self) -> Mapping[State, int]:
        """Return state to number of tasks over all queues."""
        totals: dict[State, int] = {}
        for states in (await self._broker.count()).values():
            for state, number in states.items():
                totals[state] = totals.get(state, 0) + number
        return totals

    async def get(self, queue: str, task: TaskId) -> Task | None:
        """Return a task as it is, None when it is not stored."""
        return (await self._broker.get(one_queue(queue), [one_id(task)]))[0]

    async def details(self, queue: str, task: TaskId) -> Details | None:
        """Return errors, progress and saved work of a task, None when it is not stored."""
        return (await self._broker.details(one_queue(queue), [one_id(task)]))[0]

    async def browse(
        self, queue: str, state: State, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """Return tasks of one queue and state; the page's cursor asks for the next ones."""
        return await self._broker.browse(
            one_queue(queue), state_of(state), page_size(limit), cursor=page_cursor(cursor)
        )

    async def groups(
        self,
        queue: str | None = None,
        *,
        limit: int = DEFAULT_WAITING,
        cursor: str | None = None,
    ) -> GroupPage:
        """Return groups in which tasks wait, of a queue or of all; the cursor asks for the next.

        By queue, then by name. Raises `InvalidOption` where the broker has no groups.
        """
        queue = None if queue is None else one_queue(queue)
        limit, cursor = one_or_more("limit", limit), page_cursor(cursor)
        await self._open()
        return await group_page(self._broker, queue, limit, cursor)

    async def members(
        self, queue: str, group: str, *, limit: int = DEFAULT_WAITING
    ) -> Sequence[Task]:
        """Return tasks that wait in a group, those that joined first before the others."""
        queue, limit = one_queue(queue), one_or_more("limit", limit)
        await self._open()
        return await aggregating(self._broker).members(queue, one_group(group), limit)

    async def limited_queues(self) -> Mapping[str, Limits]:
        """Return the queues that are paused, or have another limit, by name.

        Also those that have no tasks, and that nobody serves. Raises `InvalidOption` where the
        broker has no limits.
        """
        await self._open()
        limiting = self._limiting()
        names = await limiting.limited_queues()
        held = zip(names, await limiting.limits(names), strict=True) if names else ()
        return {name: limits for name, limits in held if limits != NO_LIMITS}

    async def workers(
        self, *, queue: str | None = None, name: str | None = None
    ) -> Sequence[WorkerInfo]:
        """Return the workers that are there, those that were started first before the others.

        With `queue` those that serve it, with `name` those that know tasks of that name: where
        there are none, such tasks wait for ever. One that was killed is listed for up to 15 seconds
        more; `condition(now)` says how each is. Raises `InvalidOption` where the broker lists none.
        """
        queue = None if queue is None else one_queue(queue)
        name = None if name is None else one_name(name)
        await self._open()
        return knowing(await self._registry().workers(now=self._clock.now()), queue, name)

    async def unserved_queues(self) -> Mapping[str, int]:
        """Return the queues that no worker serves, with how many tasks wait in each.

        Raises `InvalidOption` where the broker does not list workers.
        """
        served = {queue for worker in await self.workers() for queue in worker.queues}
        waiting = {
            queue: sum(number for state, number in states.items() if state in WAITING)
            for queue, states in (await self._broker.count()).items()
        }
        return {queue: n for queue, n in waiting.items() if n and queue not in served}

    async def why_waiting(self, queue: str, task: TaskId) -> Sequence[Hindrance] | None:
        """Return what keeps a task from being run, None when it is not stored.

        Nothing where it runs, or where its turn will come: tasks before it are not told.
        """
        found = await self.get(queue, task)
        if found is None:
            return None
        await self._open()
        now, registry = self._clock.now(), worker_registry_of(self._broker)
        limits = NO_LIMITS if limiting_of(self._broker) is None else await self.limits(queue)
        # with tasks pending, a queue is due at once unless its rate holds them
        due = None if limits.rate is None else await self._broker.next_due([queue])
        return hindrances(
            found,
            now,
            workers=None if registry is None else await registry.workers(now=now),
            limits=limits,
            is_rate_spent=due is not None and due > now,
            active=(await self._broker.count()).get(queue, {}).get(State.ACTIVE, 0),
        )

    async def statistics(
        self,
        queue: str | Collection[str] | None = None,
        *,
        since: datetime | Moment | timedelta = LAST_HOUR,
        until: datetime | Moment | None = None,
        by: Resolution | Literal["minute", "hour", "day"] | None = None,
    ) -> Sequence[StatisticsRow]:
        """Return what ended in a queue, in several, or in all, by period and task name.

        The oldest first. `since` and `until` are aware datetimes or epoch seconds, `until` now if
        it is not given; a timedelta is so long before that. Periods are minutes, which are kept for
        three hours, hours, which are kept for two days, or days, in UTC, which are kept for 90;
        unless `by` says so, the shortest by which all that is asked for is kept. `merged` and
        `totals` of `qcore.statistics` add rows up.
        Raises `InvalidOption` where the broker does not count what ends.
        """
        recording = recording_of(self._broker)
        if recording is None:
            raise InvalidOption("this broker does not count what ends")
        await self._open()
        now = self._clock.now()
        end = now if until is None else moment_of(until, "until")
        long_ago = isinstance(since, timedelta)
        begin = end - seconds_of(since, "since") if long_ago else moment_of(since, "since")
        if begin >= end:
            raise InvalidOption(f"since is {since!r}: expected a moment before until")
        return await recording.statistics(
            None if queue is None else _queues(queue),
            since=begin,
            # the period that begins at this very moment is one of them
            until=nextafter(end, inf) if until is None else end,
            resolution=Resolution.finest(now - begin) if by is None else Resolution.of(by),
        )

    async def queue_size(self, queue: str, *, sample: int = DEFAULT_SAMPLE) -> QueueSize:
        """Estimate how many bytes the tasks of a queue have in them, from a sample of each state.

        At most `sample` tasks of each state are read. What the store itself adds is not counted.
        """
        queue, sample = one_queue(queue), one_or_more("sample", sample)
        await self._open()
        return await queue_size(self._broker, queue, sample)

    async def limits(self, queue: str) -> Limits:
        """Return the limits of a queue."""
        return (await self._limiting().limits([one_queue(queue)]))[0]

    def _registry(self) -> WorkerRegistry:
        registry = worker_registry_of(self._broker)
        if registry is None:
            raise InvalidOption("this broker does not list workers")
        return registry

    def _limiting(self) -> Limiting:
        limiting = limiting_of(self._broker)
        if limiting is None:
            raise InvalidOption("this broker cannot limit a queue")
        return limiting


def _queues(queue: str | Collection[str]) -> Sequence[str]:
    return [one_queue(queue)] if isinstance(queue, str) else [one_queue(each) for each in queue]
