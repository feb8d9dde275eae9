"""What an inspector does by queries: list, group by cause, preview and move many; list queues."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final

from qcore.app.calls.codec import Codec
from qcore.app.calls.options import Changes
from qcore.app.client.async_notifications import AsyncPauses
from qcore.app.client.auditing import Auditor, Emit
from qcore.app.client.bulk_moves import DEFAULT_LOOK as LOOK_BEFORE
from qcore.app.client.bulk_moves import (
    DEFAULT_SAMPLE,
    BulkMove,
    Move,
    MovePreview,
    MoveProgress,
    move_of,
    tasks_a_second,
)
from qcore.app.client.failure_groups import (
    DEFAULT_FAILED,
    DEFAULT_GROUPS,
    FailureReport,
    FailureSurvey,
)
from qcore.app.client.pauses import Pauses
from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.queries import Query, query_of
from qcore.app.client.queue_listing import (
    DEFAULT_QUEUES,
    QueueListing,
    QueuePage,
    about_queues,
    queues_cursor,
)
from qcore.app.client.selection import page_cursor
from qcore.app.client.store_feed import DEFAULT_IDS, DEFAULT_INTERVAL, DEFAULT_POLL, StoreFeeds
from qcore.app.client.store_updates import StoreUpdate
from qcore.app.client.task_listing import (
    DEFAULT_LIMIT,
    DEFAULT_LOOK,
    TaskListing,
    TaskPage,
    one_or_more,
    payload_reader,
)
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.ports import Broker, Clock

MIN_INTERVAL: Final = 0.01
"""Seconds."""


class QueryInspector:
    """The part of an inspector that goes by queries.

    With a codec, these see the arguments of tasks decoded, and else their bytes; with
    `read_payload`, what that returns. `emit` is called with an `Operated` for each command that was
    carried out, and `by` names who gives those that do not say so: the variable QCORE_BY by
    default, else user@host.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        codec: Codec | None = None,
        pauses: Pauses | None = None,
        read_payload: ReadPayload | None = None,
        emit: Emit | None = None,
        by: str | None = None,
        writer: Broker | None = None,
    ) -> None:
        self._broker = broker
        # what moves tasks to another queue writes back what it has read: not from one that masks
        self._writer = broker if writer is None else writer
        self._auditor = Auditor(emit, by)
        self._clock = clock
        self._feeds = StoreFeeds(broker, clock, pauses or AsyncPauses(clock))
        self._read_payload = payload_reader(codec) if read_payload is None else read_payload
        self._is_open = False

    async def tasks(
        self,
        query: Query | str = "",
        *,
        limit: int = DEFAULT_LIMIT,
        look: int = DEFAULT_LOOK,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return tasks of a query; the page's cursor asks for the next ones.

        At most `limit`, of at most `look` that the broker is asked for: what of a query is not
        about queues, states and whole ids is asked of each task. By queue, then by state, then in
        the order of `browse`, or of the ids that it names; every task that stays in its state
        through all pages is in exactly one. Raises `InvalidOption` for a query or a cursor that
        makes no sense.
        """
        query, cursor = query_of(query), page_cursor(cursor)
        limit, look = one_or_more("limit", limit), one_or_more("look", look)
        await self._open()
        listing = TaskListing(self._broker, query, self._read_payload, self._clock.now())
        return await listing.page(limit, look, cursor)

    async def queues(
        self,
        query: Query | str = "",
        *,
        limit: int = DEFAULT_QUEUES,
        cursor: str | None = None,
    ) -> QueuePage:
        """Return queues in the order of their names; the page's cursor asks for the next ones.

        Those that have tasks or entries of periodic tasks, and those that a worker serves; with a
        query such as "queue:mail*" those of them whose names it selects. Raises `InvalidOption` for
        a query of anything but queues, and for a cursor that makes no sense.
        """
        query = about_queues(query_of(query))
        limit, cursor = one_or_more("limit", limit), queues_cursor(cursor)
        await self._open()
        listing = QueueListing(self._broker, self._clock.now(), query)
        return await listing.page(limit, cursor)

    async def failures(
        self,
        query: Query | str = "",
        *,
        look: int = DEFAULT_FAILED,
        limit: int = DEFAULT_GROUPS,
    ) -> FailureReport:
        """Return the failed tasks of a query by name and by what their errors have in common.

        Of tasks in retry, archived and dead at most `look` are looked at: of each queue and state
        an equal share, the latest of those that have ended, the first due of those in retry. At
        most `limit` groups, the largest first.
        """
        query = query_of(query)
        look, limit = one_or_more("look", look), one_or_more("limit", limit)
        await self._open()
        survey = FailureSurvey(self._broker, query, self._read_payload, self._clock.now())
        return await survey.report(look, limit)

    async def preview(
        self,
        query: Query | str,
        move: Move | Changes,
        *,
        look: int = LOOK_BEFORE,
        sample: int = DEFAULT_SAMPLE,
    ) -> MovePreview:
        """Count the tasks that a move of many would reach, and show some; move nothing.

        A move is a command, such as `RunNow()`, or new values of options: `{"priority": 5}`. At
        most `look` tasks are looked at. Raises `InvalidOption` for a query without a `state:`.
        """
        look, sample = one_or_more("look", look), one_or_more("sample", sample)
        await self._open()
        query, now = query_of(query), self._clock.now()
        return await self._bulk(query, move_of(move, now), now).preview(look, sample)

    async def move(
        self,
        query: Query | str,
        move: Move | Changes,
        *,
        as_of: datetime | Moment | None = None,
        limit: int | None = None,
        pace: float | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> AsyncGenerator[MoveProgress, None]:
        """Move the tasks of a query in steps, and yield after each how far it has come.

        It goes on while it is asked for more. What was enqueued, or has ended, later than `as_of`
        is not touched: give it that of the preview; it is now by default. At most `limit` tasks are
        moved, and at most `pace` a second. Each step reads its tasks anew, and the store checks
        their states again. The tasks keep `by` whom it was, and the `reason`, in their audit trail.
        Raises `InvalidOption` for a query without a `state:`.
        """
        query = query_of(query)
        limit = None if limit is None else one_or_more("limit", limit)
        pace = None if pace is None else tasks_a_second(pace)
        bound = None if as_of is None else moment_of(as_of, "as_of", InvalidOption)
        await self._open()
        now = self._clock.now()
        given = move_of(move, now)
        if isinstance(given, Move):
            given = self._auditor.attribute(given, by or given.by, reason)
        bulk = self._bulk(query, given, now if bound is None else bound)
        async with aclosing(bulk.run(self._clock, limit=limit, pace=pace)) as steps:
            async for progress in steps:
                yield progress

    async def watch(
        self,
        *,
        interval: Duration = DEFAULT_INTERVAL,
        poll: Duration = DEFAULT_POLL,
        ids: int = DEFAULT_IDS,
    ) -> AsyncGenerator[StoreUpdate, None]:
        """Yield how all queues stand, and then what changes in them, until it is closed.

        What comes within `interval` is one update. Brokers tell of tasks that have ended or got on,
        of which an update lists at most `ids` a queue, and of work for a queue that had none; other
        changes are seen while something happens every `interval`, else after at most `poll`. Both
        are seconds or timedeltas; where counting takes long, it is done less often. An outage is
        yielded once, and all queues when it is over. However many watch over one inspector, they
        share one subscription. Raises `BrokerUnavailable` if the broker cannot be reached at first.
        """
        often = seconds_of(interval, "interval", InvalidOption)
        rarely = seconds_of(poll, "poll", InvalidOption)
        if not MIN_INTERVAL <= often <= rarely:
            raise InvalidOption(
                f"interval is {often:g} s and poll {rarely:g} s: expected at least "
                f"{MIN_INTERVAL:g} s, and the poll to be no shorter than the interval"
            )
        ids = one_or_more("ids", ids)
        await self._open()
        async with aclosing(self._feeds.current().watch(often, rarely, ids)) as updates:
            async for update in updates:
                yield update

    def _bulk(self, query: Query, move: Move, as_of: Moment) -> BulkMove:
        return BulkMove(
            self._broker,
            query,
            move,
            read=self._read_payload,
            as_of=as_of,
            auditor=self._auditor,
            writer=self._writer,
        )

    async def _open(self) -> None:
        if not self._is_open:
            # before the clock is read: the time may be the store's, and is known from then on
            await self._broker.open()
            self._is_open = True
