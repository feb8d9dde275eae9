"""`claim`, `extend` and `next_due`: handing out tasks under leases, and renewing those."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from qcore.adapters.links.postgres import Row, Tx
from qcore.adapters.links.postgres.arrays import numbers, texts
from qcore.adapters.postgres import places
from qcore.adapters.postgres.endings import Endings
from qcore.adapters.postgres.limits import QueueLimits, next_starts, read_limits
from qcore.adapters.postgres.places import of_queue
from qcore.adapters.postgres.records import COLUMNS, ID, WIDTH, claimed_task_of, task_of
from qcore.adapters.postgres.statements import statements
from qcore.adapters.postgres.statistics import KnownNames, record
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
from qcore.domain.stored_options import Unreadable
from qcore.domain.task import Claim, Demand, Lease, Task, token_floor
from qcore.domain.transitions import Due, Expired
from qcore.ports import TasksChanged

_SQL: Final = statements("claim")

MAX_PROMOTED: Final = 1_000
"""Due tasks that one claim makes pending in one queue: a bound on how long they are locked."""
HOLDS: Final = COLUMNS.index("holds")


async def claim(
    tx: Tx, demand: Demand, now: Moment, until: Moment, known: KnownNames
) -> tuple[list[Claim], list[SweptTask]]:
    """Claim each queue's quota, then fill what room is left in the order of the queues.

    Return the claims, and the tasks that ended instead of being claimed: expired, or unreadable.
    """
    claims, ended, rest = await _claim_simply(tx, demand, now, until)
    if rest is not None:
        call = _ClaimCall(tx, now, until, known, claims)
        claims += await call.run(rest)
        ended += call.ended
    return claims, ended


async def _claim_simply(
    tx: Tx, demand: Demand, now: Moment, until: Moment
) -> tuple[list[Claim], list[SweptTask], Demand | None]:
    """Claim in one statement; return, too, what ended, and what is left where there is more."""
    room = max(0, demand.limit)
    values = {
        "room": room,
        "now": now,
        "until": until,
        "floor": token_floor(now),
        "ahead": AHEAD,
        "is_lax": tx.is_alone,
    }
    if len(demand.quotas) == 1:
        (queue,) = demand.quotas
        rows = await tx.alone(_SQL["simple"], {**values, "queue": queue})
        is_odd, is_short, found = rows[0][0], False, [(queue, row[1:]) for row in rows]
    else:
        named = {"queues": texts(demand.quotas), "quotas": numbers(demand.quotas.values())}
        rows = await tx.alone(_SQL["several"], {**values, **named})
        is_odd, is_short, found = rows[0][0], rows[0][-1], [(row[-2], row[1:-2]) for row in rows]
    if is_odd:
        return [], [], demand
    if found[0][1][ID] is None:
        return [], [], demand if is_short else None
    claims, ended = await _decoded(tx, found, now, until)
    # what is short was locked by others: the queues are looked through one by one
    rest = Demand(room - len(found), demand.quotas) if is_short else None
    return claims, ended, rest


async def _decoded(
    tx: Tx, found: Sequence[tuple[str, Row]], now: Moment, until: Moment
) -> tuple[list[Claim], list[SweptTask]]:
    """Return rows with the tokens of their leases as claims; end those that cannot be decoded."""
    claims: list[Claim] = []
    ended: list[SweptTask] = []
    unreadable: dict[str, list[tuple[Row, Unreadable]]] = {}
    for queue, row in found:
        try:
            task = claimed_task_of(row[:-1], queue, counted=True)
        except Unreadable as why:
            unreadable.setdefault(queue, []).append((row, why))
        else:
            claims.append(Claim(task, Lease(queue, task.spec.id, row[-1], until)))
    for queue, some in unreadable.items():
        ended += await _condemn(tx, queue, some, now)
    return claims, ended


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
        self, tx: Tx, now: Moment, until: Moment, known: KnownNames, before: Sequence[Claim]
    ) -> None:
        self._tx = tx
        self._now = now
        self._until = until
        self._known = known
        self._endings = Endings()
        self._limits: dict[str, QueueLimits] = {}
        self._claims: list[Claim] = []
        self._bound: int | None = None
        self._before = before
        """What the same call has claimed already."""
        self.ended: list[SweptTask] = []
        """Tasks that ended instead of being claimed."""

    async def run(self, demand: Demand) -> list[Claim]:
        """Claim, and have those told who are to know what else became of tasks."""
        queues = [*demand.quotas]
        self._limits = await read_limits(self._tx, queues, lock=True)
        self._bound = await raise_tokens(self._tx, self._now)
        promoted = [queue for queue in queues if await self._promote(queue)]
        for queue, quota in demand.quotas.items():
            await self._take(queue, min(quota, demand.limit - len(self._claims)))
        for queue in queues:
            await self._take(queue, demand.limit - len(self._claims))
        for queue in promoted:
            if await self._tx.fetch(_SQL["has_more"], {"queue": queue}):
                self._tx.tell_of_work([queue])
        await record(self._tx, self._endings, self._known)
        return self._claims

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
        before = len(self._claims)
        limits = self._limits.get(queue)
        if limits is not None:
            room = min(room, await limits.free(self._tx, self._now))
        if (self._claims or self._before) and room > 0:
            room = int(min(room, room_beside(self._held(queue))))
        await self._fill(queue, room)
        if limits is not None and len(self._claims) > before:
            limits.spend(self._tx, len(self._claims) - before, self._now)

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
        claims = (*self._before, *self._claims)
        return [claim.task for claim in claims if claim.task.queue == queue]

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
            self.ended += [state.swept(Expired()) for state in states]
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
            self.ended += await _condemn(self._tx, queue, unreadable, self._now)
        return tasks

    async def _lease(self, queue: str, tasks: Sequence[Task]) -> None:
        """Make tasks active, each under a lease with a token of its own."""
        if not tasks:
            return
        values = {**of_queue(queue, [task.id for task in tasks]), "until": self._until}
        tokens: dict[str, int] = dict(await self._tx.fetch(_SQL["claim"], values))
        raise_bound(self._tx, max(tokens.values()), self._bound)
        for task in tasks:
            lease = Lease(queue, task.id, tokens[task.id], self._until)
            self._claims.append(Claim(task, lease))


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
