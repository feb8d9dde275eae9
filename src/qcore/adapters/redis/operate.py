"""What an operator asks and orders."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.keys import KEY_OF, STORED, Key
from qcore.adapters.redis.look import Sighting, seen
from qcore.adapters.redis.moving import Move, carried_out
from qcore.adapters.redis.names import id_of, rest_of
from qcore.adapters.redis.records import Unreadable, body_of, shown, task_of
from qcore.adapters.redis.scripts import BROWSE, COUNT
from qcore.adapters.redis.store import AT_ONCE, Store, bites
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.lifecycle import ENDED, MOVES, Command, RunNow, State, Updated
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.task import Task, changed
from qcore.ports import Counts, Page

TRIES: Final = 20
"""How often an order is given again because the task moves meanwhile."""


async def get(store: Store, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks as they are."""
    return [
        None if it is None else shown(queue, task, it.state, it.value, it.progress)
        for task, it in zip(ids, await seen(store, queue, ids, whole=True), strict=True)
    ]


async def browse(store: Store, queue: str, state: State, limit: int, cursor: str | None) -> Page:
    """Return tasks of one queue and state, page by page; ended ones with the latest first."""
    if state is State.GONE or limit < 1:
        return Page(())
    score, member = (b"", b"") if cursor is None else _read(cursor)
    tasks: list[Task] = []
    while True:
        size = min(AT_ONCE, limit + 1 - len(tasks))
        words: list[Word] = [int(KEY_OF[state]), int(state in ENDED), size, score, member]
        (rows,) = await store.look(BROWSE, [([queue], words)])
        for name, at, value, progress in zip(*(rows[n::4] for n in range(4)), strict=True):
            if len(tasks) == limit:
                return Page(tasks, f"{score.decode()} {member.hex()}")
            score, member = at, name
            if value is not None:
                stored = member[rest_of(member) :] if state is State.PENDING else member
                tasks.append(shown(queue, id_of(stored), state, value, progress))
        if len(rows) < 4 * size:
            return Page(tasks)


def _read(cursor: str) -> tuple[bytes, bytes]:
    score, _, member = cursor.partition(" ")
    try:
        float(score)
        return score.encode(), bytes.fromhex(member)
    except ValueError:
        raise InvalidOption(f"{cursor!r} is no cursor of this broker") from None


async def count(store: Store) -> Counts:
    """Count the tasks of every queue that has any."""
    known = await store.link.command("SMEMBERS", store.keys.registry)
    queues = sorted(name.decode() for name in known)
    groups = store.groups(queues)
    counts: dict[str, Mapping[State, int]] = {}
    for group, reply in zip(
        groups, await store.look(COUNT, [(g, ()) for g in groups]), strict=True
    ):
        for n, queue in enumerate(group):
            numbers = zip(STORED, reply[n * len(STORED) :], strict=False)
            if states := {state: number for state, number in numbers if number}:
                counts[queue] = states
    return counts


async def execute(
    store: Store, queue: str, ids: Sequence[TaskId], what: Command, now: Moment
) -> list[Moved | NotAllowed | Missing]:
    """Carry out an order on tasks of one queue."""
    orders = _Orders(store, queue, ids, what, now)
    for places in _once_each(ids):
        await orders.carry_out(places)
    return orders.answers


def _once_each(ids: Sequence[TaskId]) -> Iterator[list[int]]:
    """Yield the places of ids in parts: what is named twice comes again in the next part."""
    left: list[int] = [*range(len(ids))]
    while left:
        firsts: dict[TaskId, int] = {ids[n]: n for n in reversed(left)}
        yield sorted(firsts.values())
        left = [n for n in left if firsts[ids[n]] != n]


class _Orders:
    """One order to several tasks, given again to those that move meanwhile."""

    def __init__(
        self, store: Store, queue: str, ids: Sequence[TaskId], what: Command, now: Moment
    ) -> None:
        self._store = store
        self._queue = queue
        self._ids = ids
        self._what = what
        self._now = now
        self.answers: list[Moved | NotAllowed | Missing] = [Missing() for _ in ids]

    async def carry_out(self, places: Sequence[int]) -> None:
        """Answer for the ids at some places."""
        for _ in range(TRIES):
            if not places:
                return
            places = await self._try(places)
        if places:
            raise BrokerUnavailable(
                f"{self._store.link.shown}: {self._ids[places[0]]!r} in {self._queue!r} keeps "
                "moving: give the order again"
            )

    async def _try(self, places: Sequence[int]) -> list[int]:
        """Answer for the ids at some places; return those whose task has moved meanwhile."""
        ids, whole = [self._ids[n] for n in places], isinstance(self._what, Updated)
        found = await seen(self._store, self._queue, ids, whole=whole)
        moving: list[tuple[int, Sighting]] = []
        for n, sighting in zip(places, found, strict=True):
            if sighting is None:
                self.answers[n] = Missing()
            elif type(self._what) not in MOVES[sighting.state] or self._is_odd(n, sighting):
                self.answers[n] = NotAllowed(sighting.state)
            else:
                moving.append((n, sighting))
        moves = await self._moves(moving)
        made = await carried_out(self._store, moves)
        pairs = [*zip(moving, made, strict=True)]
        await self._tell([sighting for (_, sighting), was_made in pairs if was_made])
        return [n for (n, _), was_made in pairs if not was_made]

    async def _tell(self, moved: Sequence[Sighting]) -> None:
        """Say which leases have ended."""
        tokens = [each.entry().token for each in moved if each.state is State.ACTIVE]
        channel = self._store.keys.channel(self._queue)
        # the order is carried out; who does not hear of it now is told when the lease is renewed
        with suppress(BrokerUnavailable):
            for bite in bites(tokens):
                await self._store.link.command("PUBLISH", channel, " ".join(map(str, bite)))

    async def _moves(self, moving: Sequence[tuple[int, Sighting]]) -> list[Move]:
        if isinstance(self._what, Updated):
            return await self._updates(moving, self._what)
        fresh = moving if isinstance(self._what, RunNow) else ()
        line = await _lines(self._store, self._queue, len(fresh))
        moves: list[Move] = []
        for place, (n, sighting) in enumerate(moving, start=1):
            entry = sighting.entry()
            guard = entry.sight(None)
            self.answers[n] = Moved(entry.move(self._what, self._now, line + place))
            moves.append((self._queue, sighting.name, 0, [*guard, *entry.change()]))
        return moves

    async def _updates(self, moving: Sequence[tuple[int, Sighting]], what: Updated) -> list[Move]:
        """Change what was asked for, each if it is still what was looked at."""
        line = await _lines(self._store, self._queue, len(moving)) if self._puts_behind else 0
        moves: list[Move] = []
        for place, (n, sighting) in enumerate(moving, start=1):
            entry = sighting.entry()
            guard: list[Word] = ["v", sighting.value, *entry.sight(None)[1:]]
            task = self._read(n, sighting)
            spec = changed(task.spec, what)
            same = spec.priority == task.spec.priority
            entry.update(body_of(spec, task.created), None if same else line + place)
            self.answers[n] = Moved(sighting.state)
            moves.append((self._queue, sighting.name, 0, [*guard, *entry.change()]))
        return moves

    def _read(self, n: int, it: Sighting) -> Task:
        return task_of(self._queue, self._ids[n], it.state, it.value, it.progress)

    def _is_odd(self, n: int, sighting: Sighting) -> bool:
        """Return whether it is to be changed and cannot be read: it must not be written over."""
        try:
            if isinstance(self._what, Updated):
                self._read(n, sighting)
        except Unreadable:
            return True
        return False

    @property
    def _puts_behind(self) -> bool:
        return isinstance(self._what, Updated) and "priority" in self._what.changes


async def _lines(store: Store, queue: str, number: int) -> int:
    """Reserve places behind all of their priority; return the one before the first."""
    if not number:
        return 0
    meta = store.keys.of(queue)[Key.META - 1]
    last: int = await store.link.command("HINCRBY", meta, "sequence", number)
    return last - number
