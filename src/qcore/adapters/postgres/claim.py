"""`claim`, `extend` and `next_due`: handing out tasks under leases, and renewing those."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from attrs import Factory, evolve

from qcore.adapters.links.postgres import Row, Tx, Values
from qcore.adapters.links.postgres.arrays import numbers, texts
from qcore.adapters.postgres import places
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.limits import QueueLimits, next_starts, read_limits
from qcore.adapters.postgres.places import of_queue
from qcore.adapters.postgres.records import COLUMNS, WIDTH, claimed_task_of, task_of
from qcore.adapters.postgres.scan_starts import Scan, ScanStarts, ends_of, ranges_of
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames
from qcore.adapters.postgres.statistics import record as record_endings
from qcore.adapters.postgres.tokens import AHEAD, raise_bound, raise_tokens
from qcore.adapters.postgres.transitions import (
    read_due,
    read_tasks,
    start_successors,
    write_tasks,
)
from qcore.domain.answers import LeaseLost, SweptTask
from qcore.domain.crash_isolation import room_beside
from qcore.domain.decisions import isolated, may_start
from qcore.domain.ended_tasks import unreadable_task
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record
from qcore.domain.stored_options import Unreadable
from qcore.domain.task import Claim, Demand, Lease, Task, token_floor
from qcore.domain.transitions import Due, Expired
from qcore.ports import TasksChanged

_SQL: Final = statements("claim")

MAX_PROMOTED: Final = 1_000
"""Due tasks that one claim makes pending in one queue: a bound on how long they are locked."""
HOLDS: Final = COLUMNS.index("holds")
TOKEN: Final = WIDTH
PLACE: Final = WIDTH + 1
SEQUENCE: Final = WIDTH + 2
PRIORITY: Final = COLUMNS.index("priority")

UnreadableRows: TypeAlias = Mapping[str, Sequence[tuple[Row, Unreadable]]]
"""Rows, by queue, with why they cannot be decoded."""


def _token(found: tuple[str, Row]) -> int:
    token: int = found[1][TOKEN]
    return token


@record
class Claimed:
    """What a claim has found; `places` has the `ctid` of the row of each, as Postgres sends it."""

    claims: list[Claim] = Factory(list[Claim])
    places: list[bytes] = Factory(list[bytes])
    ended: list[SweptTask] = Factory(list[SweptTask])
    """Tasks that ended instead of being claimed: expired, or unreadable."""

    def add(self, claim: Claim, place: bytes) -> None:
        """Add a claim."""
        self.claims.append(claim)
        self.places.append(place)


class Claiming:
    """A call of `claim`: what a statement of its own has committed is not lost with what follows.

    A transaction's function is run again where others wrote the same at the same time, and what
    fails is raised to the caller: tasks that nobody knows of would crash when their leases end.
    """

    def __init__(
        self,
        demand: Demand,
        now: Moment,
        until: Moment,
        *,
        known: KnownNames,
        starts: ScanStarts,
    ) -> None:
        self._demand = demand
        self._now = now
        self._until = until
        self._known = known
        self._starts = starts
        self.committed = Claimed()
        """What is claimed, whatever becomes of the rest of the call."""

    async def __call__(self, tx: Tx) -> Claimed:
        """Claim each queue's quota, then fill what room is left in the order of the queues."""
        if self.committed.claims:
            return self.committed
        now, until = self._now, self._until
        claimed = Claimed()
        is_alone = tx.is_alone
        rest, unreadable = await self._claim_simply(tx, claimed)
        if is_alone and (unreadable or rest is not None):
            self.committed = Claimed([*claimed.claims], [*claimed.places])
        for queue, some in unreadable.items():
            claimed.ended.extend(await _condemn(tx, queue, some, now))
        if rest is not None:
            await _ClaimCall(tx, now, until, self._known, claimed).run(rest)
        return claimed

    async def _claim_simply(self, tx: Tx, claimed: Claimed) -> tuple[Demand | None, UnreadableRows]:
        """Claim in one statement; return what is left of the demand if there is more to decide.

        And, by queue, the rows among the claimed ones that cannot be decoded.
        """
        demand, now = self._demand, self._now
        room = max(0, demand.limit)
        values = {
            "room": room,
            "now": now,
            "until": self._until,
            "floor": token_floor(now),
            "ahead": AHEAD,
            "is_lax": tx.is_alone,
        }
        is_odd, is_short, found = await self._claimed_rows(tx, values)
        if is_odd:
            return demand, {}
        if not found:
            return demand if is_short else None, {}
        unreadable = _add_decoded(found, self._until, claimed)
        # what is short was locked or changed by others: the queues are looked through one by one
        return Demand(room - len(found), demand.quotas) if is_short else None, unreadable

    async def _claimed_rows(
        self, tx: Tx, values: Values
    ) -> tuple[bool, bool, list[tuple[str, Row]]]:
        """Claim; once more, of all that is pending, if there is nothing behind earlier claims.

        Return whether there is more to decide, whether there may be more to claim, and the rows
        of the claimed tasks with their queues, in the order of their tokens.
        """
        quotas = self._demand.quotas
        while True:
            scans = [*map(self._starts.begin, quotas)]
            ranges = ranges_of(scans)
            if len(quotas) == 1:
                (queue,) = quotas
                values = {**values, **ranges, "queue": queue}
                rows = await tx.alone(_SQL["simple"], values)
                found = [(queue, row[1:-1]) for row in rows if row[1] is not None]
                is_short = rows[0][-1] > len(found)
            else:
                named = {
                    "queues": texts(quotas),
                    "quotas": numbers(quotas.values()),
                    "ends": ends_of(scans),
                }
                rows = await tx.alone(_SQL["several"], {**values, **ranges, **named})
                found = [(row[-2], row[1:-2]) for row in rows if row[1] is not None]
                is_short = rows[0][-1]
            if rows[0][0]:
                return True, False, []
            found.sort(key=_token)
            self._note(scans, found, is_short=is_short)
            # what lies ahead counts, too, where there is less behind earlier claims than is asked
            is_all = len(found) >= values["room"] or all(scan.is_whole for scan in scans)
            if found or is_short or is_all:
                return False, is_short or not is_all, found

    def _note(
        self, scans: Sequence[Scan], found: Sequence[tuple[str, Row]], *, is_short: bool
    ) -> None:
        """Note where the next claims may begin."""
        places: dict[str, list[tuple[int, int]]] = {scan.queue: [] for scan in scans}
        for queue, row in found:
            places[queue].append((row[PRIORITY], row[SEQUENCE]))
        # what room a queue leaves goes to those behind it in the order
        is_filled = len(found) >= self._demand.limit
        for scan in reversed(scans):
            some, quota = places[scan.queue], self._demand.quotas[scan.queue]
            is_all = not is_short and not (is_filled and len(some) >= quota)
            self._starts.end(scan, some, is_all=is_all)
            is_filled = is_filled and len(some) <= quota


def _add_decoded(
    found: Sequence[tuple[str, Row]], until: Moment, claimed: Claimed
) -> UnreadableRows:
    """Add rows with the tokens of their leases as claims; return those that cannot be decoded."""
    unreadable: dict[str, list[tuple[Row, Unreadable]]] = {}
    for queue, row in found:
        try:
            task = claimed_task_of(row[:WIDTH], queue, counted=True)
        except Unreadable as why:
            unreadable.setdefault(queue, []).append((row, why))
        else:
            claimed.add(Claim(task, Lease(queue, task.spec.id, row[TOKEN], until)), row[PLACE])
    return unreadable


async def _condemn(
    tx: Tx, queue: str, unreadable: Sequence[tuple[Row, Unreadable]], now: Moment
) -> list[SweptTask]:
    """End tasks as dead whose rows cannot be decoded."""
    ids = [row[0] for row, _ in unreadable]
    errors = [f"the stored row cannot be read: {why}" for _, why in unreadable]
    tx.add(_SQL["mark_dead"], {**of_queue(queue, ids), "now": now, "errors": texts(errors)})
    freed = [(queue, row[HOLDS]) for row, _ in unreadable if row[HOLDS] is not None]
    tx.tell_of_work(await start_successors(tx, freed))
    tx.tell(TasksChanged(queue, tuple(ids)))
    tasks = [task_of(row[:WIDTH], queue) for row, _ in unreadable]
    return [unreadable_task(task, error) for task, error in zip(tasks, errors, strict=True)]


class _ClaimCall:
    """A claim that has more to decide than one statement does."""

    def __init__(
        self, tx: Tx, now: Moment, until: Moment, known: KnownNames, claimed: Claimed
    ) -> None:
        self._tx = tx
        self._now = now
        self._until = until
        self._known = known
        self._endings = Endings()
        self._limits: dict[str, QueueLimits] = {}
        self._bound: int | None = None
        self._claimed = claimed
        """What is added to: it may have what one statement has claimed already."""

    async def run(self, demand: Demand) -> None:
        """Claim, and have those told who are to know what else became of tasks."""
        queues = [*demand.quotas]
        self._limits = await read_limits(self._tx, queues, lock=True)
        self._bound = await raise_tokens(self._tx, self._now)
        promoted = [queue for queue in queues if await self._promote(queue)]
        claims = self._claimed.claims
        most = len(claims) + demand.limit
        for queue, quota in demand.quotas.items():
            await self._take(queue, min(quota, most - len(claims)))
        for queue in queues:
            await self._take(queue, most - len(claims))
        for queue in promoted:
            if await self._tx.fetch(_SQL["has_more"], {"queue": queue}):
                self._tx.tell_of_work([queue])
        await record_endings(self._tx, self._endings, self._known)

    async def _promote(self, queue: str) -> bool:
        """Make due tasks pending; return whether there were any."""
        tasks = await read_due(self._tx, queue, self._now, MAX_PROMOTED, self._endings)
        for task in tasks:
            task.move(Due(), self._now)
        await write_tasks(self._tx, tasks)
        return bool(tasks)

    async def _take(self, queue: str, room: int) -> None:
        """Append up to `room` claims, as far as the queue's limits allow."""
        if room <= 0:
            return
        claims = self._claimed.claims
        before = len(claims)
        limits = self._limits.get(queue)
        if limits is not None:
            room = min(room, await limits.free(self._tx, self._now))
        if claims and room > 0:
            room = int(min(room, room_beside(self._held(queue))))
        await self._fill(queue, room)
        if limits is not None and len(claims) > before:
            limits.spend(self._tx, len(claims) - before, self._now)

    async def _fill(self, queue: str, room: int) -> None:
        while room > 0:
            asked = room
            rows = await self._tx.fetch(_SQL["pending"], {"queue": queue, "room": asked})
            tasks = await self._decode(queue, rows)
            if any(task.crashes for task in tasks):
                number, room = isolated(tasks, self._held(queue), room, self._now)
                tasks = tasks[:number]
            if any(task.spec.expires is not None for task in tasks):
                tasks = await self._without_expired(queue, tasks)
            await self._lease(queue, tasks)
            room -= len(tasks)
            if len(rows) < asked:
                return

    def _held(self, queue: str) -> list[Task]:
        """Return those of the claimed tasks that are of a queue."""
        return [claim.task for claim in self._claimed.claims if claim.task.queue == queue]

    async def _without_expired(self, queue: str, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks that may still start; end the others."""
        fresh = [task for task in tasks if may_start(task, self._now)]
        if len(fresh) < len(tasks):
            ended = [(queue, task.id) for task in tasks if not may_start(task, self._now)]
            states = [*(await read_tasks(self._tx, ended, self._endings)).values()]
            for state in states:
                state.move(Expired(), self._now)
            self._tx.tell_of_work(await write_tasks(self._tx, states))
            self._tx.tell(TasksChanged(queue, tuple(task for _, task in ended)))
            self._claimed.ended.extend([state.swept(Expired()) for state in states])
        return fresh

    async def _decode(self, queue: str, rows: Sequence[Row]) -> list[Task]:
        """Return rows as tasks; end those that cannot be decoded as dead."""
        tasks: list[Task] = []
        unreadable: list[tuple[Row, Unreadable]] = []
        for row in rows:
            try:
                tasks.append(claimed_task_of(row[:WIDTH], queue, counted=False))
            except Unreadable as why:
                unreadable.append((row, why))
        if unreadable:
            self._claimed.ended.extend(await _condemn(self._tx, queue, unreadable, self._now))
        return tasks

    async def _lease(self, queue: str, tasks: Sequence[Task]) -> None:
        """Make tasks active, each under a lease with a token of its own."""
        if not tasks:
            return
        values = {**of_queue(queue, [task.id for task in tasks]), "until": self._until}
        leased = {row[0]: row[1:] for row in await self._tx.fetch(_SQL["claim"], values)}
        raise_bound(self._tx, max(token for token, _ in leased.values()), self._bound)
        for task in tasks:
            token, place = leased[task.id]
            self._claimed.add(Claim(task, Lease(queue, task.id, token, self._until)), place)


async def extend(tx: Tx, leases: Sequence[Lease], until: Moment) -> list[Lease | LeaseLost]:
    """Move the end of leases to `until`."""
    values = {**places.leases(leases), "until": until}
    renewed = {*map(tuple, await tx.alone(_SQL["extend"], values))}
    return [
        evolve(lease, until=until)
        if (lease.queue, lease.id, lease.token) in renewed
        else LeaseLost()
        for lease in leases
    ]


async def next_due(tx: Tx, queues: Sequence[str]) -> Moment | None:
    """Return when a scheduled or retrying task is due next, or a rate lets a pending one start."""
    rows = await tx.fetch(_SQL["next_due"], {"queues": texts(queues)})
    moments = [
        moment for row in rows for moment in row if moment is not None and moment < LAST_MOMENT
    ]
    return min(moments + await next_starts(tx, queues), default=None)
