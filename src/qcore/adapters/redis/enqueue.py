"""The producer's move."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Final

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.encoding import StoredId, decode_id, encode_id
from qcore.adapters.redis.keys import FAST_PATH_KEYS, STATE_OF, Key
from qcore.adapters.redis.records import BAR, body_of, is_without_facts
from qcore.adapters.redis.script_runner import MAX_TASKS_PER_CALL, ScriptRunner, group_by_queue
from qcore.adapters.redis.scripts import ENQUEUE
from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.moments import Moment
from qcore.domain.new_task import REPLACE, NewTask, TaskId
from qcore.domain.task import state_of_new

MAX_BYTES_PER_CALL: Final = 1 << 19
"""Of the payloads and headers of one call: a large one takes the server long to read."""
NEEDS_ALL_KEYS: Final = b"needs_all_keys"
EXISTING, MADE = "0", "1"
GROUPED: Final = "g"


async def enqueue(
    runner: ScriptRunner, tasks: Sequence[NewTask], now: Moment
) -> Sequence[Admission]:
    """Store tasks."""
    # what is waited for has to have been written: in one go, whether there is a queue or not
    takes_all = runner.link.waits_for_durability
    if len(tasks) == 1 and not takes_all:
        # what a client asks for one by one
        (task,) = tasks
        name, body, how = _words_of(task, now)
        if not how and body[0] == BAR:
            words = (EXISTING, "", name, body, how)
            reply = await runner.run_once_alone(ENQUEUE, task.queue, words, FAST_PATH_KEYS)
            if reply != NEEDS_ALL_KEYS:
                return [admission(task, reply, now)]
            takes_all = True
    answers: list[Admission] = [_admitted(task, now) for task in tasks]
    chunks = [
        chunk
        for places in group_by_queue((task.queue, n) for n, task in enumerate(tasks)).values()
        for chunk in _chunks(tasks, places, now)
    ]
    if takes_all:
        replies = [NEEDS_ALL_KEYS] * len(chunks)
    else:
        number = FAST_PATH_KEYS if all(chunk.is_usual for chunk in chunks) else len(Key)
        replies = await runner.run_once(ENQUEUE, [([b.queue], b) for b in chunks], number=number)
    if NEEDS_ALL_KEYS in replies:
        replies = await _whole(runner, chunks, replies)
    for chunk, reply in zip(chunks, replies, strict=True):
        refused = reply.split()
        for place, why in zip(refused[::2], refused[1::2], strict=True):
            n = chunk.places[int(place)]
            answers[n] = _refusal(tasks[n], why)
    return answers


async def _whole(
    runner: ScriptRunner, chunks: "Sequence[_Chunk]", replies: Sequence[bytes]
) -> list[bytes]:
    """Ask again with all keys, and leave to make queues, where that was asked for."""
    left = [chunk for chunk, reply in zip(chunks, replies, strict=True) if reply == NEEDS_ALL_KEYS]
    # first of all: a queue that nobody knows of would be worse than a name without a queue
    await runner.link.command("SADD", runner.keys.registry, *{chunk.queue for chunk in left})
    for chunk in left:
        chunk.may_make = True
    asked = [([chunk.queue], chunk) for chunk in left]
    answered = iter(await runner.run_once(ENQUEUE, asked, durable=True))
    return [next(answered) if reply == NEEDS_ALL_KEYS else reply for reply in replies]


def encode_tasks(tasks: Sequence[NewTask], now: Moment) -> list[Arg]:
    """Return what lua/enqueue.lua is told of tasks that go in with something else.

    Of two with the same id, the second would conflict with the first: it is left out.
    """
    first: dict[TaskId, NewTask] = {}
    for task in tasks:
        first.setdefault(task.id, task)
    return [*_words(MADE, first.values(), now)]


def admission(task: NewTask, reply: bytes, now: Moment) -> Admission:
    """Return what lua/enqueue.lua has answered of one task."""
    return _refusal(task, reply.split()[1]) if reply else _admitted(task, now)


def _admitted(task: NewTask, now: Moment) -> Enqueued:
    return Enqueued(task.id, state_of_new(task, now))


def _refusal(task: NewTask, why: bytes) -> Conflict | Duplicate:
    """Return the answer that a script gives for a task that it refuses: see lua/enqueue.lua."""
    key, _, holder = why.partition(b":")
    state = STATE_OF[int(key)]
    if holder:
        return Duplicate(decode_id(bytes.fromhex(holder.decode())), state)
    return Conflict(task.id, state)


def _moment(task: NewTask, now: Moment) -> Moment | None:
    """Return the moment that a task has to be scheduled for, None where that has come."""
    return None if task.due is None or task.due <= now else task.due


def _chunks(tasks: Sequence[NewTask], places: Sequence[int], now: Moment) -> "Iterator[_Chunk]":
    """Yield as many tasks of a queue as go into one call, and then others."""
    chunk = _Chunk(tasks[places[0]].queue, now)
    for place in places:
        if not chunk.takes(place, tasks[place]):
            yield chunk
            chunk = _Chunk(chunk.queue, now)
            chunk.takes(place, tasks[place])
    yield chunk


class _Chunk:
    """What one call tells of tasks: no id twice, so that the second conflicts with the first.

    It is made when it is sent, and the server begins with one while the next is made.
    """

    def __init__(self, queue: str, now: Moment) -> None:
        self.queue = queue
        self.places: list[int] = []
        self.may_make = False
        """Whether it may make the queue."""
        self.is_usual = True
        """Whether it takes but a few keys: see lua/enqueue.lua."""
        self._now = now
        self._tasks: dict[TaskId, NewTask] = {}
        self._size = 0

    def takes(self, place: int, task: NewTask) -> bool:
        """Put a task in, unless there is no room, or one of its id is in; return whether it is."""
        size = self._size + len(task.payload)
        if task.headers:
            size += sum(len(text.encode()) for text in chain(*task.headers.items()))
        has_room = len(self.places) < MAX_TASKS_PER_CALL and size <= MAX_BYTES_PER_CALL
        if self.places and (not has_room or task.id in self._tasks):
            return False
        self.places.append(place)
        self._tasks[task.id] = task
        self._size = size
        if self.is_usual:
            self.is_usual = is_without_facts(task) and _moment(task, self._now) is None
        return True

    def __iter__(self) -> Iterator[Arg]:
        """Yield what to tell."""
        return _words(MADE if self.may_make else EXISTING, self._tasks.values(), self._now)


def _words(leave: str, tasks: Collection[NewTask], now: Moment) -> Iterator[Arg]:
    """Yield leave to make the queue, this moment, and the tasks."""
    yield leave
    yield repr(now) if any(task.unique_key is not None for task in tasks) else ""
    for task in tasks:
        yield from _words_of(task, now)


def _words_of(task: NewTask, now: Moment) -> tuple[StoredId, bytes, str]:
    """Return a task's name, its body, and how it waits."""
    body = body_of(task, now)
    # no facts: neither a group nor a unique key
    waits_as_usual = body[0] == BAR and task.due is None
    return encode_id(task.id), body, "" if waits_as_usual else _how(task, now)


def _how(task: NewTask, now: Moment) -> str:
    """Return where a task waits, and how it is unique."""
    due = _moment(task, now)
    ready = "" if task.group is None else f"{GROUPED}{now!r}"
    how = ready if due is None else repr(due)
    if task.unique_key is None:
        return how
    last = "-" if task.unique_for is None else repr(now + task.unique_for)
    return f"{how} {last} {int(task.on_duplicate == REPLACE)}"
