"""What an operator asks and orders."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import decode_id, end_of_sequence
from qcore.adapters.redis.keys import COUNTED_STATES, KEY_OF, Key
from qcore.adapters.redis.records import Unreadable, body_of, shown, task_of
from qcore.adapters.redis.script_runner import MAX_TASKS_PER_CALL, ScriptRunner, chunks
from qcore.adapters.redis.scripts import BROWSE, COUNT
from qcore.adapters.redis.snapshot import Snapshot, read_snapshots
from qcore.adapters.redis.transitions import ConditionalWrite, apply_transitions
from qcore.domain.answers import Missing, Moved, NotAllowed
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.lifecycle import ENDED, MOVES, Command, RunNow, State, Updated
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.task import Task, changed
from qcore.ports import Counts, Page

TRIES: Final = 20
"""How often an order is given again because the task moves meanwhile."""


async def get(runner: ScriptRunner, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks as they are."""
    return [
        None if it is None else shown(queue, task, it.state, it.value, it.progress)
        for task, it in zip(ids, await read_snapshots(runner, queue, ids, whole=True), strict=True)
    ]


async def browse(
    runner: ScriptRunner, queue: str, state: State, limit: int, cursor: str | None
) -> Page:
    """Return tasks of one queue and state, page by page; ended ones with the latest first."""
    if state is State.GONE or limit < 1:
        return Page(())
    score, member = (b"", b"") if cursor is None else _read(cursor)
    tasks: list[Task] = []
    while True:
        size = min(MAX_TASKS_PER_CALL, limit + 1 - len(tasks))
        words: list[Arg] = [int(KEY_OF[state]), int(state in ENDED), size, score, member]
        (rows,) = await runner.run_idempotent(BROWSE, [([queue], words)])
        for name, at, value, progress in zip(*(rows[n::4] for n in range(4)), strict=True):
            if len(tasks) == limit:
                return Page(tasks, f"{score.decode()} {member.hex()}")
            score, member = at, name
            if value is not None:
                stored = member[end_of_sequence(member) :] if state is State.PENDING else member
                tasks.append(shown(queue, decode_id(stored), state, value, progress))
        if len(rows) < 4 * size:
            return Page(tasks)


def _read(cursor: str) -> tuple[bytes, bytes]:
    score, _, member = cursor.partition(" ")
    try:
        float(score)
        return score.encode(), bytes.fromhex(member)
    except ValueError:
        raise InvalidOption(f"{cursor!r} is no cursor of this broker") from None


async def count(runner: ScriptRunner) -> Counts:
    """Count the tasks of every queue that has any."""
    known = await runner.link.command("SMEMBERS", runner.keys.registry)
    queues = sorted(name.decode() for name in known)
    groups = runner.queue_batches(queues)
    counts: dict[str, Mapping[State, int]] = {}
    for group, reply in zip(
        groups, await runner.run_idempotent(COUNT, [(g, ()) for g in groups]), strict=True
    ):
        for n, queue in enumerate(group):
            numbers = zip(COUNTED_STATES, reply[n * len(COUNTED_STATES) :], strict=False)
            if states := {state: number for state, number in numbers if number}:
                counts[queue] = states
    return counts


async def execute(
    runner: ScriptRunner, queue: str, ids: Sequence[TaskId], what: Command, now: Moment
) -> list[Moved | NotAllowed | Missing]:
    """Carry out an order on tasks of one queue."""
    orders = _Orders(runner, queue, ids, what, now)
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
        self, runner: ScriptRunner, queue: str, ids: Sequence[TaskId], what: Command, now: Moment
    ) -> None:
        self._runner = runner
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
                f"{self._runner.link.shown}: {self._ids[places[0]]!r} in {self._queue!r} keeps "
                "moving: give the order again"
            )

    async def _try(self, places: Sequence[int]) -> list[int]:
        """Answer for the ids at some places; return those whose task has moved meanwhile."""
        ids, whole = [self._ids[n] for n in places], isinstance(self._what, Updated)
        found = await read_snapshots(self._runner, self._queue, ids, whole=whole)
        moving: list[tuple[int, Snapshot]] = []
        for n, snapshot in zip(places, found, strict=True):
            if snapshot is None:
                self.answers[n] = Missing()
            elif type(self._what) not in MOVES[snapshot.state] or self._is_odd(n, snapshot):
                self.answers[n] = NotAllowed(snapshot.state)
            else:
                moving.append((n, snapshot))
        moves = await self._moves(moving)
        made = await apply_transitions(self._runner, moves)
        pairs = [*zip(moving, made, strict=True)]
        await self._tell([snapshot for (_, snapshot), was_made in pairs if was_made])
        return [n for (n, _), was_made in pairs if not was_made]

    async def _tell(self, moved: Sequence[Snapshot]) -> None:
        """Say which leases have ended."""
        tokens = [each.task_state().token for each in moved if each.state is State.ACTIVE]
        channel = self._runner.keys.channel(self._queue)
        # the order is carried out; who does not hear of it now is told when the lease is renewed
        with suppress(BrokerUnavailable):
            for chunk in chunks(tokens):
                await self._runner.link.command("PUBLISH", channel, " ".join(map(str, chunk)))

    async def _moves(self, moving: Sequence[tuple[int, Snapshot]]) -> list[ConditionalWrite]:
        if isinstance(self._what, Updated):
            return await self._updates(moving, self._what)
        fresh = moving if isinstance(self._what, RunNow) else ()
        line = await _lines(self._runner, self._queue, len(fresh))
        moves: list[ConditionalWrite] = []
        for place, (n, snapshot) in enumerate(moving, start=1):
            task_state = snapshot.task_state()
            guard = task_state.snapshot_guard(None)
            self.answers[n] = Moved(task_state.apply(self._what, self._now, line + place))
            moves.append((self._queue, snapshot.name, 0, [*guard, *task_state.encode_change()]))
        return moves

    async def _updates(
        self, moving: Sequence[tuple[int, Snapshot]], what: Updated
    ) -> list[ConditionalWrite]:
        """Change what was asked for, each if it is still what was looked at."""
        line = await _lines(self._runner, self._queue, len(moving)) if self._puts_behind else 0
        moves: list[ConditionalWrite] = []
        for place, (n, snapshot) in enumerate(moving, start=1):
            task_state = snapshot.task_state()
            guard: list[Arg] = ["v", snapshot.value, *task_state.snapshot_guard(None)[1:]]
            task = self._read(n, snapshot)
            spec = changed(task.spec, what)
            same = spec.priority == task.spec.priority
            task_state.replace_spec(body_of(spec, task.created), None if same else line + place)
            self.answers[n] = Moved(snapshot.state)
            moves.append((self._queue, snapshot.name, 0, [*guard, *task_state.encode_change()]))
        return moves

    def _read(self, n: int, it: Snapshot) -> Task:
        return task_of(self._queue, self._ids[n], it.state, it.value, it.progress)

    def _is_odd(self, n: int, snapshot: Snapshot) -> bool:
        """Return whether it is to be changed and cannot be read: it must not be written over."""
        try:
            if isinstance(self._what, Updated):
                self._read(n, snapshot)
        except Unreadable:
            return True
        return False

    @property
    def _puts_behind(self) -> bool:
        return isinstance(self._what, Updated) and "priority" in self._what.changes


async def _lines(runner: ScriptRunner, queue: str, number: int) -> int:
    """Reserve places behind all of their priority; return the one before the first."""
    if not number:
        return 0
    meta = runner.keys.of(queue)[Key.META - 1]
    last: int = await runner.link.command("HINCRBY", meta, "sequence", number)
    return last - number
