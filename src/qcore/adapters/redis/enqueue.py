"""The producer's move."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.keys import FEW, STATE_OF, Key
from qcore.adapters.redis.names import Name, id_of, name_of
from qcore.adapters.redis.records import BAR, body_of
from qcore.adapters.redis.scripts import ENQUEUE
from qcore.adapters.redis.store import AT_ONCE, Store, by_queue
from qcore.domain.moments import Moment
from qcore.domain.task import (
    REPLACE,
    Admission,
    Conflict,
    Duplicate,
    Enqueued,
    NewTask,
    state_of_new,
)

BYTES_AT_ONCE: Final = 1 << 19
"""Of one call: a large one takes the server long to read."""
WHOLE: Final = b"whole"
EXISTING, MADE = "0", "1"
GROUPED: Final = "g"


async def enqueue(store: Store, tasks: Sequence[NewTask], now: Moment) -> Sequence[Admission]:
    """Store tasks."""
    if len(tasks) == 1 and not store.link.is_patient:
        # what a client asks for one by one
        return [await _one(store, tasks[0], now)]
    answers: list[Admission] = [_admitted(task, now) for task in tasks]
    bites = [
        bite
        for places in by_queue((task.queue, n) for n, task in enumerate(tasks)).values()
        for bite in _bites(tasks, places, now)
    ]
    if store.link.is_patient:
        # what is waited for has to have been written: in one go, whether there is a queue or not
        replies = [WHOLE] * len(bites)
    else:
        number = FEW if all(bite.is_usual for bite in bites) else len(Key)
        asked = [([bite.queue], bite.words(EXISTING)) for bite in bites]
        replies = await store.move(ENQUEUE, asked, number=number)
    if WHOLE in replies:
        replies = await _whole(store, bites, replies)
    for bite, reply in zip(bites, replies, strict=True):
        refused = reply.split()
        for place, why in zip(refused[::2], refused[1::2], strict=True):
            n = bite.places[int(place)]
            answers[n] = _refusal(tasks[n], why)
    return answers


async def _one(store: Store, task: NewTask, now: Moment) -> Admission:
    """Store a task."""
    bite = _Bite(task.queue, now)
    bite.add(0, task, name_of(task.id), body_of(task, now))
    number = FEW if bite.is_usual else len(Key)
    reply = await store.move_one(ENQUEUE, task.queue, bite.words(EXISTING), number)
    if reply == WHOLE:
        (reply,) = await _whole(store, [bite], [reply])
    return admission(task, reply, now)


async def _whole(store: Store, bites: "Sequence[_Bite]", replies: Sequence[bytes]) -> list[bytes]:
    """Ask again with all keys, and leave to make queues, where that was asked for."""
    left = [bite for bite, reply in zip(bites, replies, strict=True) if reply == WHOLE]
    # first of all: a queue that nobody knows of would be worse than a name without a queue
    await store.link.command("SADD", store.keys.registry, *{bite.queue for bite in left})
    asked = [([bite.queue], bite.words(MADE)) for bite in left]
    answered = iter(await store.move(ENQUEUE, asked, safely=True))
    return [next(answered) if reply == WHOLE else reply for reply in replies]


def told(queue: str, tasks: Sequence[NewTask], now: Moment) -> list[Word]:
    """Return what lua/enqueue.lua is told of tasks that go in with something else.

    Of two with the same id, the second would conflict with the first: it is left out.
    """
    bite = _Bite(queue, now)
    for n, task in enumerate(tasks):
        name = name_of(task.id)
        if not bite.has(name):
            bite.add(n, task, name, body_of(task, now))
    return bite.words(MADE)


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
        return Duplicate(id_of(bytes.fromhex(holder.decode())), state)
    return Conflict(task.id, state)


def _moment(task: NewTask, now: Moment) -> Moment | None:
    """Return the moment that a task has to be scheduled for, None where that has come."""
    return None if task.due is None or task.due <= now else task.due


def _bites(tasks: Sequence[NewTask], places: Sequence[int], now: Moment) -> "Iterator[_Bite]":
    """Yield as many tasks of a queue as go into one call, and then others."""
    bite = _Bite(tasks[places[0]].queue, now)
    for place in places:
        task = tasks[place]
        name, body = name_of(task.id), body_of(task, now)
        if not bite.has_room(name, body):
            yield bite
            bite = _Bite(task.queue, now)
        bite.add(place, task, name, body)
    yield bite


class _Bite:
    """What one call tells of tasks: no id twice, so that the second conflicts with the first."""

    def __init__(self, queue: str, now: Moment) -> None:
        self.queue = queue
        self._now = now
        self.places: list[int] = []
        self.is_usual = True
        self._told: list[Word] = []
        self._names: set[Name] = set()
        self._size = 0
        self._has_unique = False

    def has_room(self, name: Name, body: bytes) -> bool:
        """Return whether one more goes in."""
        return not self.places or (
            len(self.places) < AT_ONCE
            and self._size + len(body) <= BYTES_AT_ONCE
            and name not in self._names
        )

    def has(self, name: Name) -> bool:
        """Return whether one of this name is in already."""
        return name in self._names

    def add(self, place: int, task: NewTask, name: Name, body: bytes) -> None:
        """Put one in, scheduled, pending or aggregating."""
        self.places.append(place)
        self._names.add(name)
        self._size += len(body)
        if body[0] == BAR and task.due is None:
            # no facts: neither a group nor a unique key
            self._told += (name, body, "")
            return
        due = _moment(task, self._now)
        ready = "" if task.group is None else f"{GROUPED}{self._now!r}"
        how = ready if due is None else repr(due)
        self.is_usual = self.is_usual and not how and body[0] == BAR
        if task.unique_key is not None:
            self._has_unique = True
            last = "-" if task.unique_for is None else repr(self._now + task.unique_for)
            how = f"{how} {last} {int(task.on_duplicate == REPLACE)}"
        self._told += (name, body, how)

    def words(self, leave: str) -> list[Word]:
        """Return what to tell: leave to make the queue, this moment, and the tasks."""
        return [leave, repr(self._now) if self._has_unique else "", *self._told]
