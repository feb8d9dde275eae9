"""Export what is in a store, as lines that `importing` reads: a backup, and the way to another."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from qcore.app.client.export_lines import VERSION, End, Header, QueueLimits, encode
from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.queries import Query
from qcore.app.client.queue_listing import queue_names
from qcore.app.client.task_listing import queues_of
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.periodic.entry import StoredEntry
from qcore.domain.queue_limits import NO_LIMITS
from qcore.domain.run_details import NO_DETAILS
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.ports import Broker, Page, limiting_of, periodic_of

BATCH: Final = 100
"""Tasks that are held in memory at a time."""
LIVE: Final = (
    State.SCHEDULED,
    State.RETRY,
    State.AGGREGATING,
    State.PENDING,
    State.ACTIVE,
)
"""In the order in which tasks go through these: one that goes on meanwhile is rather found twice,
of which an import takes the first, than not at all."""
ENDED: Final = (State.COMPLETED, State.ARCHIVED, State.DEAD)


class Export:
    """The tasks of a store, or of some queues, or of a query, with limits and periodic tasks.

    Limits and periodic tasks are left out where a query selects tasks. Counts are complete when
    all lines were read.
    """

    def __init__(
        self,
        broker: Broker,
        now: Moment,
        *,
        qcore: str,
        queues: Sequence[str] | None = None,
        query: Query | None = None,
        read: ReadPayload,
        left_out: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._now = now
        self._qcore = qcore
        self._queues = queues
        self._query = query
        self._fits = None if query is None else query.predicate(now, read)
        self._left_out = left_out
        """Is told of each thing that cannot be exported, and why."""
        self.limits = self.tasks = self.entries = 0

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines, each with its end; a batch of tasks is in memory at a time."""
        yield _line(encode(Header(VERSION, self._qcore, self._now)))
        queues = await self._names()
        if self._query is None:
            async for line in self._limit_lines(queues):
                yield line
        for queue in queues:
            async for snapshot in self._snapshots(queue):
                self.tasks += 1
                yield _line(encode(snapshot))
        if self._query is None:
            async for line in self._entry_lines(queues):
                yield line
        yield _line(encode(End(self.limits, self.tasks, self.entries)))

    async def _names(self) -> Sequence[str]:
        if self._query is None and self._queues is not None:
            return self._queues
        if self._query is None:
            counts = await self._broker.count()
            names = await queue_names(self._broker, counts, self._now)
            if (limiting := limiting_of(self._broker)) is not None:
                names.update(await limiting.limited_queues())
            return sorted(names)
        found = await queues_of(self._broker, self._query)
        return [name for name in found if self._queues is None or name in self._queues]

    async def _limit_lines(self, queues: Sequence[str]) -> AsyncGenerator[bytes, None]:
        limiting = limiting_of(self._broker)
        if limiting is None:
            return
        for queue, limits in zip(queues, await limiting.limits(queues), strict=True):
            if limits != NO_LIMITS:
                self.limits += 1
                yield _line(encode(QueueLimits(queue, limits)))

    async def _entry_lines(self, queues: Sequence[str]) -> AsyncGenerator[bytes, None]:
        periodic = periodic_of(self._broker)
        if periodic is None:
            return
        for queue in queues:
            last = ""
            while found := await periodic.browse_entries(queue, BATCH, after=last):
                for each in found:
                    if isinstance(each, StoredEntry):
                        self.entries += 1
                        yield _line(encode(each))
                    else:
                        self._left_out(f"the periodic task {each.id!r} of {queue!r}: {each.why}")
                last = found[-1].id

    async def _snapshots(self, queue: str) -> AsyncGenerator[TaskSnapshot, None]:
        async for page, is_waiting in self._all_pages(queue):
            async for each in self._with_details(queue, page, is_waiting=is_waiting):
                yield each

    async def _all_pages(self, queue: str) -> AsyncGenerator[tuple[Page, bool], None]:
        """Yield pages of tasks, and whether those that wait for another's end are meant there.

        They come behind all that they may wait for, or an import would give them its key.
        """
        places: list[str | None] = []
        for state in LIVE:
            async for cursor, page in self._pages(queue, state):
                if not places and any(map(_waits_for_ever, page.tasks)):
                    places.append(cursor)
                yield page, False
        for place in places:
            async for _, page in self._pages(queue, State.SCHEDULED, place):
                yield page, True
        for state in ENDED:
            async for _, page in self._pages(queue, state):
                yield page, False

    async def _pages(
        self, queue: str, state: State, cursor: str | None = None
    ) -> AsyncGenerator[tuple[str | None, Page], None]:
        """Yield the pages of a state, each with the cursor that asks for it."""
        if self._query is not None and state not in self._query.states():
            return
        while True:
            page = await self._broker.browse(queue, state, BATCH, cursor=cursor)
            yield cursor, page
            if (cursor := page.cursor) is None:
                return

    async def _with_details(
        self, queue: str, page: Page, *, is_waiting: bool
    ) -> AsyncGenerator[TaskSnapshot, None]:
        tasks = [
            task
            for task in page.tasks
            if _waits_for_ever(task) is is_waiting and (self._fits is None or self._fits(task))
        ]
        details = await self._broker.details(queue, [task.id for task in tasks]) if tasks else ()
        for task, kept in zip(tasks, details, strict=True):
            try:
                yield TaskSnapshot(task, kept or NO_DETAILS)
            except InvalidTask as error:
                self._left_out(f"the task {task.id!r} of {queue!r}: {error}")


def _waits_for_ever(task: Task) -> bool:
    """Return whether a task waits for the end of another, or for the end of time."""
    return task.state is State.SCHEDULED and task.due == LAST_MOMENT


def _line(encoded: bytes) -> bytes:
    return encoded + b"\n"
