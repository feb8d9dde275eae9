"""Enqueue: store new tasks, in calls of at most 250 tasks and 512 KiB."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from qcore.adapters.links.redis import Arg, Reply
from qcore.adapters.redis.encoding import StoredId, decode_id, encode_id
from qcore.adapters.redis.keys import FAST_PATH_KEYS, STATE_OF, Key
from qcore.adapters.redis.records import BAR, encode_task, has_default_meta
from qcore.adapters.redis.script_runner import (
    MAX_TASKS_PER_CALL,
    ScriptRunner,
    group_by_queue,
    raise_outage,
    refuse_in_part,
)
from qcore.adapters.redis.scripts import ENQUEUE
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.errors import BrokerRefused
from qcore.domain.moments import Moment
from qcore.domain.new_task import KEEP, REJECT, REPLACE, RERUN, NewTask, TaskId
from qcore.domain.states import State
from qcore.domain.task import state_of_new

MAX_BYTES_PER_CALL: Final = 1 << 19
"""Of payloads and headers in one call: the server reads a call before it serves anybody else."""
NEEDS_ALL_KEYS: Final = b"needs_all_keys"
SUCCEEDS: Final = b"s"
MUST_EXIST, MAY_CREATE = "0", "1"
UNPLACED: Final = "-"
"""In the place of the moment, where no task has a placement."""
GROUPED, KEEPS = "g", "k"
MODES: Final = {REJECT: 0, REPLACE: 1, RERUN: 2}
"""What is done where another task has the unique key, as lua/enqueue.lua has it."""


async def enqueue(
    runner: ScriptRunner, tasks: Sequence[NewTask], now: Moment
) -> Sequence[Admission]:
    """Store tasks."""
    # a link that sends WAIT counts the replicas of the last write: the call must not be made twice
    waits = runner.link.waits_for_durability
    if len(tasks) != 1 or waits:
        return await _enqueue_any(runner, tasks, now, needs_all_keys=waits)
    # what clients enqueue one by one is mostly plain: of default metadata, and pending at once. All
    # is in one function, as to call another is a hundredth of such an enqueue
    task = tasks[0]
    name, body = encode_id(task.id), encode_task(task, now)
    if body[0] != BAR or task.due is not None or task.on_conflict != REPLACE:
        return await _enqueue_any(runner, tasks, now)
    if isinstance(name, str):
        name = name.encode()
    session = runner.sessions.acquire()
    keys = runner.keys.with_session(task.queue, session.name, FAST_PATH_KEYS)
    number = session.next()
    digits = b"%d" % number
    encoded = _plain_format(keys) % (len(digits), digits, len(name), name, len(body), body)
    args = (MUST_EXIST, UNPLACED, name, body)
    reply: bytes = await runner.link.run_one(ENQUEUE, keys, number, args, encoded)
    runner.sessions.release([session])
    if not reply:
        return [Enqueued(task.id, State.PENDING)]
    if reply == NEEDS_ALL_KEYS:
        return await _enqueue_any(runner, tasks, now, needs_all_keys=True)
    return [admission(task, reply, now)]


@lru_cache(maxsize=1_000)
def _plain_format(keys: tuple[str, ...]) -> bytes:
    """Return the call for a plain task, but for its number, the id and the value."""
    return ENQUEUE.call_format(keys, (MUST_EXIST, UNPLACED, None, None))


async def _enqueue_any(
    runner: ScriptRunner, tasks: Sequence[NewTask], now: Moment, *, needs_all_keys: bool = False
) -> Sequence[Admission]:
    """Store tasks; `needs_all_keys` says that it is known already."""
    answers: list[Admission | BrokerRefused] = [_admitted(task, now) for task in tasks]
    chunks = [
        chunk
        for places in group_by_queue((task.queue, n) for n, task in enumerate(tasks)).values()
        for chunk in _chunks(tasks, places, now)
    ]
    if needs_all_keys:
        replies: list[Reply] = [NEEDS_ALL_KEYS] * len(chunks)
    else:
        number = FAST_PATH_KEYS if all(chunk.is_plain for chunk in chunks) else len(Key)
        asked = [([chunk.queue], chunk) for chunk in chunks]
        replies = await runner.run_once(ENQUEUE, asked, number=number, partial=True)
    raise_outage(replies)
    if NEEDS_ALL_KEYS in replies:
        replies = await _with_all_keys(runner, chunks, replies)
        raise_outage(replies)
    for chunk, reply in zip(chunks, replies, strict=True):
        if isinstance(reply, BrokerRefused):
            for n in chunk.places:
                answers[n] = reply
            continue
        for n, why in chunk.refused(reply):
            answers[n] = _answer(tasks[n], why)
    return refuse_in_part(answers)


async def _with_all_keys(
    runner: ScriptRunner, chunks: "Sequence[_Chunk]", replies: Sequence[Reply]
) -> list[Reply]:
    """Repeat the calls that need all keys, with leave to create queues."""
    left = [chunk for chunk, reply in zip(chunks, replies, strict=True) if reply == NEEDS_ALL_KEYS]
    # registered first: an unregistered queue is never listed, an unused name does no harm
    await runner.link.command("SADD", runner.keys.registry, *{chunk.queue for chunk in left})
    for chunk in left:
        chunk.may_create = True
    asked = [([chunk.queue], chunk) for chunk in left]
    answered = iter(await runner.run_once(ENQUEUE, asked, durable=True, partial=True))
    return [next(answered) if reply == NEEDS_ALL_KEYS else reply for reply in replies]


def encode_tasks(tasks: Sequence[NewTask], now: Moment) -> list[Arg]:
    """Return the arguments of lua/enqueue.lua for tasks that another script enqueues.

    Of two with the same id, the second would conflict with the first: it is left out.
    """
    first: dict[TaskId, NewTask] = {}
    for task in tasks:
        first.setdefault(task.id, task)
    return [*_words(MAY_CREATE, first.values(), now)]


class ForScript:
    """The tasks of one queue that another script enqueues, each answered at its place.

    Of two with the same id the second is enqueued after the first, in a portion of its own.
    """

    def __init__(self, tasks: Sequence[NewTask], now: Moment) -> None:
        self._tasks = tasks
        self._now = now
        self._chunks = [*_chunks(tasks, range(len(tasks)), now)] if tasks else []

    def words(self) -> Iterator[Arg]:
        """Yield for each portion how many arguments of lua/enqueue.lua it has, and they."""
        for chunk in self._chunks:
            chunk.may_create = True
            words = [*chunk]
            yield len(words)
            yield from words

    def admissions(self, replies: bytes) -> list[Admission]:
        """Return the answers in the replies of lua/enqueue.lua, each behind a line feed."""
        answers: list[Admission] = [_admitted(task, self._now) for task in self._tasks]
        for chunk, reply in zip(self._chunks, replies.split(b"\n")[1:], strict=True):
            for n, why in chunk.refused(reply):
                answers[n] = _answer(self._tasks[n], why)
        return answers


def admission(task: NewTask, reply: bytes, now: Moment) -> Admission:
    """Return the answer in a reply of lua/enqueue.lua about one task."""
    return _answer(task, reply.split()[1]) if reply else _admitted(task, now)


def _admitted(task: NewTask, now: Moment) -> Enqueued:
    return Enqueued(task.id, state_of_new(task, now))


def _answer(task: NewTask, why: bytes) -> Admission:
    """Return the answer for a task of which lua/enqueue.lua's reply has a word."""
    if why == SUCCEEDS:
        return Enqueued(task.id, State.SCHEDULED)
    return stored_in_the_way(task.id, why)


def stored_in_the_way(task: TaskId, why: bytes) -> Conflict | Duplicate:
    """Return what a word of a reply says is in the way of a task: its id, or its unique key."""
    key, _, holder = why.partition(b":")
    state = STATE_OF[int(key)]
    if holder:
        return Duplicate(decode_id(bytes.fromhex(holder.decode())), state)
    return Conflict(task, state)


def _moment(task: NewTask, now: Moment) -> Moment | None:
    """Return the moment that a task has to be scheduled for, None where that has come."""
    return None if task.due is None or task.due <= now else task.due


def _chunks(tasks: Sequence[NewTask], places: Sequence[int], now: Moment) -> "Iterator[_Chunk]":
    """Yield the tasks of a queue in chunks that go into one call each."""
    chunk = _Chunk(tasks[places[0]].queue, now)
    for place in places:
        if not chunk.takes(place, tasks[place]):
            yield chunk
            chunk = _Chunk(chunk.queue, now)
            chunk.takes(place, tasks[place])
    yield chunk


class _Chunk:
    """The tasks of one call: no id twice, so that the second conflicts with the first.

    It is encoded when it is sent: the server works on one chunk while the next is encoded.
    """

    def __init__(self, queue: str, now: Moment) -> None:
        self.queue = queue
        self.places: list[int] = []
        self.may_create = False
        """Whether the script may create the queue."""
        self.is_plain = True
        """Whether no task needs a placement: all go into the queue, whatever else is stored. Then
        the first keys of the queue are enough: see `FAST_PATH_KEYS`."""
        self._now = now
        self._tasks: dict[TaskId, NewTask] = {}
        self._size = 0

    def takes(self, place: int, task: NewTask) -> bool:
        """Add a task, unless there is no room or its id is there already; return whether it was."""
        size = self._size + len(task.payload)
        if task.headers:
            size += sum(len(text.encode()) for text in chain(*task.headers.items()))
        has_room = len(self.places) < MAX_TASKS_PER_CALL and size <= MAX_BYTES_PER_CALL
        if self.places and (not has_room or task.id in self._tasks):
            return False
        self.places.append(place)
        self._tasks[task.id] = task
        self._size = size
        if self.is_plain:
            self.is_plain = (
                has_default_meta(task)
                and (task.due is None or task.due <= self._now)
                and task.on_conflict == REPLACE
            )
        return True

    def refused(self, reply: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the place of each task of which a reply of lua/enqueue.lua has a word, and that."""
        answered = reply.split()
        for place, why in zip(answered[::2], answered[1::2], strict=True):
            yield self.places[int(place)], why

    def __iter__(self) -> Iterator[Arg]:
        """Yield the arguments of the call."""
        words = _plain_words if self.is_plain else _words
        return words(MAY_CREATE if self.may_create else MUST_EXIST, self._tasks.values(), self._now)


def _words(leave: str, tasks: Collection[NewTask], now: Moment) -> Iterator[Arg]:
    """Yield leave to create the queue, now if a placement has more than a moment, and the tasks."""
    rows = [_words_of(task, now) for task in tasks]
    yield leave
    if not any(placement for _, _, placement in rows):
        yield UNPLACED
        yield from (word for name, body, _ in rows for word in (name, body))
        return
    has_more = any(task.unique_key is not None or task.on_conflict == KEEP for task in tasks)
    yield repr(now) if has_more else ""
    for row in rows:
        yield from row


def _plain_words(leave: str, tasks: Collection[NewTask], now: Moment) -> Iterator[Arg]:
    """Yield what `_words` does for tasks without placements, in two thirds of the time."""
    yield leave
    yield UNPLACED
    for task in tasks:
        yield encode_id(task.id)
        yield encode_task(task, now)


def _words_of(task: NewTask, now: Moment) -> tuple[StoredId, bytes, str]:
    """Return a task's stored id, its value without the sequence, and its placement."""
    body = encode_task(task, now)
    # default metadata: neither a group nor a unique key
    is_pending = body[0] == BAR and task.due is None and task.on_conflict == REPLACE
    return encode_id(task.id), body, "" if is_pending else _placement(task, now)


def _placement(task: NewTask, now: Moment) -> str:
    """Return the placement of a task, as lua/enqueue.lua has it."""
    due = _moment(task, now)
    ready = "" if task.group is None else f"{GROUPED}{now!r}"
    how = ready if due is None else repr(due)
    if task.on_conflict == KEEP:
        how = KEEPS + how
    if task.unique_key is None:
        return how
    last = "-" if task.unique_for is None else repr(now + task.unique_for)
    return f"{how} {last} {MODES[task.on_duplicate]}"
