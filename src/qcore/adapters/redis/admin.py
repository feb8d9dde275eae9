"""Reads and commands of an operator: get, browse, count, execute."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from qcore.adapters.links.redis import Arg, ScriptCall
from qcore.adapters.redis.encoding import decode_id, end_of_sequence
from qcore.adapters.redis.keys import COUNTED_STATES, KEY_OF, Key
from qcore.adapters.redis.records import Unreadable, decode_or_describe, decode_task, encode_task
from qcore.adapters.redis.script_runner import (
    MAX_TASKS_PER_CALL,
    ScriptRunner,
    chunks,
    refuse_in_part,
)
from qcore.adapters.redis.scripts import BROWSE, COUNT, READY_SINCE, REMOVE_QUEUE
from qcore.adapters.redis.snapshot import Snapshot, read_snapshots
from qcore.adapters.redis.transitions import ConditionalWrite, apply_transitions
from qcore.domain.answers import Missing, Moved, NotAllowed, QueueNotEmpty, QueueRemoved
from qcore.domain.audit import audit_record
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.lifecycle import MOVES
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.states import ENDED, State, state_of
from qcore.domain.task import Task, token_floor
from qcore.domain.task import changed as with_changes
from qcore.domain.transitions import Command, Deleted, RunNow, Updated
from qcore.ports import Counts, Page

MAX_PRIORITIES: Final = 100
"""Priorities of which the first task is looked at for how long a queue has waited."""
TRIES: Final = 20
"""How often a command is tried again because the task has changed meanwhile."""


async def get(runner: ScriptRunner, queue: str, ids: Sequence[TaskId]) -> list[Task | None]:
    """Return tasks as they are."""
    return [
        None if it is None else decode_or_describe(queue, task, it.state, it.value, it.progress)
        for task, it in zip(ids, await read_snapshots(runner, queue, ids, whole=True), strict=True)
    ]


async def browse(
    runner: ScriptRunner, queue: str, state: State, limit: int, cursor: str | None
) -> Page:
    """Return tasks of one queue and state, page by page; ended ones with the latest first."""
    state = state_of(state)
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
                tasks.append(decode_or_describe(queue, decode_id(stored), state, value, progress))
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
    return await count_in(runner, await runner.registered_queues())


async def count_in(runner: ScriptRunner, queues: Iterable[str]) -> Counts:
    """Count the tasks of those queues that have any."""
    groups = runner.queue_batches(queues)
    keys = [[key for queue in group for key in runner.keys.counted(queue)] for group in groups]
    replies = await runner.link.run(COUNT, [ScriptCall(each, ()) for each in keys])
    counts: dict[str, Mapping[State, int]] = {}
    for group, reply in zip(groups, replies, strict=True):
        for n, queue in enumerate(group):
            numbers = zip(COUNTED_STATES, reply[n * len(COUNTED_STATES) :], strict=False)
            if states := {state: number for state, number in numbers if number}:
                counts[queue] = states
    return counts


async def ready_since(
    runner: ScriptRunner, queues: Sequence[str], now: Moment
) -> list[Moment | None]:
    """Return since when the task of each queue that has waited longest could have been run."""
    groups = runner.queue_batches(queues)
    replies = await runner.run_idempotent(READY_SINCE, [(g, [MAX_PRIORITIES]) for g in groups])
    found = zip(chain.from_iterable(groups), chain.from_iterable(replies), strict=True)
    since = {queue: _earliest(queue, reply, now) for queue, reply in found}
    return [since[queue] for queue in queues]


def _earliest(queue: str, reply: Sequence[bytes | None], now: Moment) -> Moment | None:
    due = [float(score) for score in reply[:2] if score]
    ready = [moment for moment in due if moment <= now]
    for member, value, run in zip(reply[2::3], reply[3::3], reply[4::3], strict=True):
        if member is not None and value is not None:
            task = decode_or_describe(queue, decode_id(member), State.PENDING, value, run)
            ready.append(task.due)
    return min(ready, default=None)


async def execute(
    runner: ScriptRunner, queue: str, ids: Sequence[TaskId], what: Command, now: Moment
) -> list[Moved | NotAllowed | Missing]:
    """Carry out a command on tasks of one queue."""
    execution = _Execution(runner, queue, ids, what, now)
    for places in _once_each(ids):
        await execution.carry_out(places)
    return execution.answers


async def remove_queue(
    runner: ScriptRunner, queue: str, now: Moment, sessions: Iterable[str]
) -> QueueRemoved | QueueNotEmpty:
    """Remove a queue that has neither tasks nor entries, and what idle sessions asked of it.

    What is remembered of other processes' requests (request_dedup.py) is gone within a minute.
    """
    its, of_entries = runner.keys.of(queue), runner.keys.entries(queue)
    keys = [*its, *of_entries, *runner.keys.periods(queue, now)]
    reply = await runner.link.run(REMOVE_QUEUE, [ScriptCall(keys, [token_floor(now)])])
    ((tasks, entries),) = reply
    if tasks or entries:
        return QueueNotEmpty(tasks, entries)
    for session in sessions:
        own = runner.keys.with_session(queue, session, Key.SESSION)
        await runner.link.command("PEXPIRE", own[Key.SESSION - 1], 0)
    registries = runner.keys.registry, runner.keys.entry_registry
    for registry in registries:
        await runner.link.command("SREM", registry, queue)
    if await runner.link.command("EXISTS", its[Key.META - 1], of_entries[0]):
        # somebody has just created it anew
        for registry in registries:
            await runner.link.command("SADD", registry, queue)
    return QueueRemoved()


def _once_each(ids: Sequence[TaskId]) -> Iterator[list[int]]:
    """Yield the places of ids in rounds: an id that is named twice comes again in the next."""
    left: list[int] = [*range(len(ids))]
    while left:
        firsts: dict[TaskId, int] = {ids[n]: n for n in reversed(left)}
        yield sorted(firsts.values())
        left = [n for n in left if firsts[ids[n]] != n]


class _Execution:
    """One command to several tasks, tried again for those that change meanwhile."""

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
        """Answer for the ids at some places; return those whose task has changed meanwhile."""
        ids, whole = [self._ids[n] for n in places], isinstance(self._what, Updated)
        found = await read_snapshots(self._runner, self._queue, ids, whole=whole)
        changing: list[tuple[int, Snapshot]] = []
        for n, snapshot in zip(places, found, strict=True):
            if snapshot is None:
                self.answers[n] = Missing()
            elif type(self._what) not in MOVES[snapshot.state] or self._is_unreadable(n, snapshot):
                self.answers[n] = NotAllowed(snapshot.state)
            else:
                changing.append((n, snapshot))
        writes = await self._writes(changing)
        audit = None if isinstance(self._what, Deleted) else audit_record(self._what, self._now)
        made = await apply_transitions(self._runner, writes, self._now, audit)
        written = refuse_in_part(made)
        pairs = [*zip(changing, written, strict=True)]
        await self._publish_ended_leases(
            [snapshot for (_, snapshot), was_written in pairs if was_written]
        )
        return [n for (n, _), was_written in pairs if not was_written]

    async def _publish_ended_leases(self, changed: Sequence[Snapshot]) -> None:
        """Publish which leases have ended."""
        tokens = [each.task_state().token for each in changed if each.state is State.ACTIVE]
        channel = self._runner.keys.channel(self._queue)
        # the command is carried out; a worker that misses this learns it when it renews the lease
        with suppress(BrokerUnavailable):
            for chunk in chunks(tokens):
                await self._runner.link.command("PUBLISH", channel, " ".join(map(str, chunk)))

    async def _writes(self, changing: Sequence[tuple[int, Snapshot]]) -> list[ConditionalWrite]:
        if isinstance(self._what, Updated):
            return await self._updates(changing, self._what)
        fresh = changing if isinstance(self._what, RunNow) else ()
        last = await _reserve_sequences(self._runner, self._queue, len(fresh))
        writes: list[ConditionalWrite] = []
        for place, (n, snapshot) in enumerate(changing, start=1):
            task_state = snapshot.task_state()
            guard = task_state.snapshot_guard(None)
            state = task_state.apply(self._what, self._now, last + place)
            self.answers[n] = Moved(state)
            change = [*guard, *task_state.encode_change()]
            ending = snapshot.task_name, self._what, state, None
            writes.append((self._queue, snapshot.name, 0, change, ending))
        return writes

    async def _updates(
        self, changing: Sequence[tuple[int, Snapshot]], what: Updated
    ) -> list[ConditionalWrite]:
        """Return the writes that change options, each guarded by the value that was read."""
        number = len(changing) if "priority" in what.changes else 0
        last = await _reserve_sequences(self._runner, self._queue, number)
        writes: list[ConditionalWrite] = []
        for place, (n, snapshot) in enumerate(changing, start=1):
            task_state = snapshot.task_state()
            guard: list[Arg] = ["v", snapshot.value, *task_state.snapshot_guard(None)[1:]]
            task = self._read(n, snapshot)
            spec = with_changes(task.spec, what)
            same = spec.priority == task.spec.priority
            task_state.replace_spec(encode_task(spec, task.created), None if same else last + place)
            self.answers[n] = Moved(snapshot.state)
            change = [*guard, *task_state.encode_change()]
            writes.append((self._queue, snapshot.name, 0, change, None))
        return writes

    def _read(self, n: int, it: Snapshot) -> Task:
        return decode_task(self._queue, self._ids[n], it.state, it.value, it.progress)

    def _is_unreadable(self, n: int, snapshot: Snapshot) -> bool:
        """Return whether its options are to be changed and cannot be read."""
        try:
            if isinstance(self._what, Updated):
                self._read(n, snapshot)
        except Unreadable:
            return True
        return False


async def _reserve_sequences(runner: ScriptRunner, queue: str, number: int) -> int:
    """Reserve sequence numbers, behind all tasks of a priority; return the one before them."""
    if not number:
        return 0
    meta = runner.keys.of(queue)[Key.META - 1]
    last: int = await runner.link.command("HINCRBY", meta, "sequence", number)
    return last - number
