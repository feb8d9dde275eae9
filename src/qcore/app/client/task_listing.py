"""List the tasks of a query, page by page; a page looks at no more tasks than it is told to."""

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Final
from zlib import crc32

from attrs import field

from qcore.app.calls.codec import Codec
from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.queries import STATES, Query
from qcore.domain.errors import CannotDecode, InvalidOption
from qcore.domain.moments import Moment, moment_of
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.states import State, state_of
from qcore.domain.task import Task
from qcore.domain.text import shown
from qcore.ports import Broker, Counts, Page

DEFAULT_LIMIT: Final = 50
DEFAULT_LOOK: Final = 2_000
BATCH: Final = 250
"""Tasks that are read in one call where not all of them are of the query."""

FEW_READS: Final = 50
TASKS_A_READ: Final = 30
"""A read of a queue and state takes as long as so many more tasks in one read."""


TASKS_A_LOOKUP: Final = 4
"""To look for ids in a queue takes as long as so many more tasks in one read."""


def most_reads(look: int) -> int:
    """Return how many queues and states may be read to look at so many tasks.

    Where thousands of queues have a task or two each, it is the reads that take the time.
    """
    return max(FEW_READS, look // TASKS_A_READ)


@record
class TaskPage:
    """Tasks of a query, and how many were looked at to find them."""

    tasks: Sequence[Task]
    looked: int
    cursor: str | None = None
    """Asks for what comes after; None where nothing does. There may be a cursor but no tasks, when
    as many were looked at as one page may."""
    counts: Counts | None = field(default=None, eq=False, repr=False)
    """Of all queues that have tasks, as they were when this page was made: state to number; None
    where the query names its queues, as they were not counted then."""


@record
class Place:
    """Where a listing goes on: in a queue and a state, from a cursor of the broker."""

    queue: str = ""
    state: State | None = None
    cursor: str | None = None


class TaskListing:
    """The tasks of one query in a broker: by queue, then by state, then as `browse` has them."""

    def __init__(self, broker: Broker, query: Query, read: ReadPayload, now: Moment) -> None:
        self._broker = broker
        self._query = query
        self._read = read
        self._now = now
        self._fits: Callable[[Task], bool] | None = None
        self._counts: Counts | None = None

    async def page(self, limit: int, look: int, cursor: str | None) -> TaskPage:
        """Return the tasks after a cursor: at most `limit`, of at most `look` looked at.

        Ages are counted from the moment of the first page.
        """
        first = Place() if cursor is None else self._decoded(cursor)
        ids = self._query.named_ids()
        if ids is not None:
            return await self._page_of_ids(ids, first, limit, look)
        if self._query.needs_tasks:
            self._fits = self._query.predicate(self._now, self._read)
        tasks: list[Task] = []
        looked, reads = 0, 0
        async for start in self._places(first):
            place: Place | None = start
            while place is not None:
                if len(tasks) >= limit or looked >= look or reads >= most_reads(look):
                    return TaskPage(tasks, looked, self._encoded(place), self._counts)
                page, found = await self._step(place, limit - len(tasks), look - looked)
                tasks += found
                reads += 1
                looked += len(page.tasks)
                place = _after(place, page)
        return TaskPage(tasks, looked, counts=self._counts)

    async def _page_of_ids(
        self, ids: Sequence[TaskId], first: Place, limit: int, look: int
    ) -> TaskPage:
        """Return the tasks of ids, which the broker finds at once in each queue."""
        fits = self._query.predicate(self._now, self._read)
        tasks: list[Task] = []
        looked, reads, most = 0, 0, max(FEW_READS, look // TASKS_A_LOOKUP)
        for queue in await self._queues(first):
            at = _number_in(first) if queue == first.queue else 0
            while at < len(ids):
                if len(tasks) >= limit or looked >= look or reads >= most:
                    place = Place(queue, State.PENDING, str(at))
                    return TaskPage(tasks, looked, self._encoded(place), self._counts)
                part = ids[at : at + min(limit - len(tasks), look - looked)]
                found = [each for each in await self._broker.get(queue, part) if each is not None]
                tasks += filter(fits, found)
                looked, reads, at = looked + len(found), reads + 1, at + len(part)
        return TaskPage(tasks, looked, counts=self._counts)

    async def _queues(self, first: Place) -> Mapping[str, Collection[State]]:
        """Return the queues that can have such tasks, from a place on, with their states."""
        if self._query.named_queues() is None:
            self._counts = await self._broker.count()
        held = _queues_in(self._counts or {}, self._query)
        return {queue: states for queue, states in held.items() if queue >= first.queue}

    async def _places(self, first: Place) -> AsyncIterator[Place]:
        """Yield the beginnings of queues and states that can have such tasks, from a place on."""
        states = self._query.states()
        for queue, held in (await self._queues(first)).items():
            for state in [state for state in states if state in held]:
                if queue != first.queue or first.state is None:
                    yield Place(queue, state)
                elif state is first.state:
                    yield first
                elif _rank(state) > _rank(first.state):
                    yield Place(queue, state)

    async def _step(self, place: Place, room: int, left: int) -> tuple[Page, Sequence[Task]]:
        """Return a page of the broker that ends where the room does, and what of it is selected."""
        number = min(left, room if self._fits is None else max(room, BATCH))
        while True:
            page = await self._browse(place, number)
            found = [
                i for i, task in enumerate(page.tasks) if self._fits is None or self._fits(task)
            ]
            if len(found) <= room:
                return page, [page.tasks[i] for i in found]
            # a cursor is the end of a page: ask for one that ends with the last that has room
            number = found[room - 1] + 1

    async def _browse(self, place: Place, number: int) -> Page:
        state = place.state or State.PENDING
        return await self._broker.browse(place.queue, state, number, cursor=place.cursor)

    # --- cursors --------------------------------------------------------------------------------

    def _encoded(self, place: Place) -> str:
        row = [self._sum(), self._now, place.queue, place.state, place.cursor]
        text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _decoded(self, cursor: str) -> Place:
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            check, now, queue, state, inner = json.loads(text)
            place = Place(queue, state_of(state), inner)
            self._now = moment_of(now, "the moment", InvalidOption)
        except (ValueError, TypeError, binascii.Error, RecursionError):
            raise InvalidOption(f"cursor is {shown(cursor)}: expected that of a page") from None
        if check != self._sum() or not isinstance(queue, str) or not isinstance(inner, str | None):
            raise InvalidOption(
                f"cursor is {shown(cursor)}: expected that of a page of this query, {self._query}"
            )
        return place

    def _sum(self) -> int:
        return crc32(str(self._query).encode())


async def queues_of(broker: Broker, query: Query) -> Mapping[str, Collection[State]]:
    """Return the queues of a query by name, and in which states each may have tasks.

    Where it names them outright, the broker need not be asked which there are.
    """
    counts: Counts = {} if query.named_queues() is not None else await broker.count()
    return _queues_in(counts, query)


def _queues_in(counts: Counts, query: Query) -> Mapping[str, Collection[State]]:
    named = query.named_queues()
    if named is not None:
        return dict.fromkeys(named, STATES)
    return {queue: {*counts[queue]} for queue in sorted(counts) if query.has_queue(queue)}


def _number_in(place: Place) -> int:
    """Return how many ids were looked for in the queue of a place before it."""
    if place.cursor is None or not place.cursor.isdecimal():
        raise InvalidOption(f"cursor is {shown(place.cursor)}: expected that of a page")
    return int(place.cursor)


def _after(place: Place, page: Page) -> Place | None:
    return None if page.cursor is None else Place(place.queue, place.state, page.cursor)


_ORDER: Final = tuple(State)


def _rank(state: State) -> int:
    return _ORDER.index(state)


def payload_reader(codec: Codec | None) -> ReadPayload:
    """Return what reads a task's arguments as plain data, and its payload where that fails."""

    def read(task: Task) -> object:
        spec = task.spec
        if codec is None:
            return spec.payload
        try:
            data: object = codec.loads(spec.payload, spec.content_type, object)
        except CannotDecode:
            return spec.payload
        return data

    return read


def one_or_more(what: str, number: object) -> int:
    """Return a number of tasks; raise `InvalidOption` unless it is one or more."""
    if type(number) is not int or number < 1:
        raise InvalidOption(f"{what} is {shown(number)}: expected a whole number from 1")
    return number
