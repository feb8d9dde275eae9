"""The producer's move."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.keys import STATE_OF
from qcore.adapters.redis.names import Name, name_of
from qcore.adapters.redis.records import body_of
from qcore.adapters.redis.scripts import ENQUEUE
from qcore.adapters.redis.store import AT_ONCE, Store, by_queue
from qcore.domain.lifecycle import State
from qcore.domain.moments import Moment
from qcore.domain.task import Conflict, Enqueued, NewTask

BYTES_AT_ONCE: Final = 1 << 19
"""Of one call: a large one takes the server long to read."""
ABSENT: Final = b"absent"
EXISTING, MADE = "0", "1"


async def enqueue(
    store: Store, tasks: Sequence[NewTask], now: Moment
) -> Sequence[Enqueued | Conflict]:
    """Store tasks."""
    answers: list[Enqueued | Conflict] = []
    for task in tasks:
        waits = task.due is not None and task.due > now
        answers.append(Enqueued(task.id, State.SCHEDULED if waits else State.PENDING))
    calls = [
        (queue, places, words)
        for queue, its in by_queue((task.queue, n) for n, task in enumerate(tasks)).items()
        for places, words in _bites(tasks, its, now)
    ]
    replies = await store.move(ENQUEUE, [([q], [EXISTING, *w]) for q, _, w in calls], safely=True)
    if ABSENT in replies:
        replies = await _made(store, calls, replies)
    for (_, places, _), reply in zip(calls, replies, strict=True):
        refused = reply.split()
        for place, key in zip(refused[::2], refused[1::2], strict=True):
            n = places[int(place)]
            answers[n] = Conflict(tasks[n].id, STATE_OF[int(key)])
    return answers


_Call = tuple[str, Sequence[int], Sequence[Word]]


async def _made(store: Store, calls: Sequence[_Call], replies: Sequence[bytes]) -> list[bytes]:
    """Make the queues that are not there yet, and put their tasks into them."""
    absent = [call for call, reply in zip(calls, replies, strict=True) if reply == ABSENT]
    # first of all: a queue that nobody knows of would be worse than a name without a queue
    await store.link.command("SADD", store.keys.registry, *{queue for queue, _, _ in absent})
    answered = iter(
        await store.move(ENQUEUE, [([q], [MADE, *words]) for q, _, words in absent], safely=True)
    )
    return [next(answered) if reply == ABSENT else reply for reply in replies]


def _bites(
    tasks: Sequence[NewTask], places: Sequence[int], now: Moment
) -> Iterator[tuple[Sequence[int], Sequence[Word]]]:
    """Yield the places and the words of as many tasks of a queue as go into one call."""
    start, bite = 0, _Bite()
    for n, place in enumerate(places):
        task = tasks[place]
        name, body = name_of(task.id), body_of(task, now)
        if not bite.has_room(name, body):
            yield places[start:n], bite.words()
            start, bite = n, _Bite()
        waits = task.due is not None and task.due > now
        bite.add(name, body, task.due if waits else None)
    yield places[start:], bite.words()


class _Bite:
    """What one call tells of tasks: no id twice, so that the second conflicts with the first."""

    def __init__(self) -> None:
        self._words: list[Word] = []
        self._names: set[Name] = set()
        self._size = 0
        self._first: Moment | None = None

    def has_room(self, name: Name, body: bytes) -> bool:
        """Return whether one more goes in."""
        return not self._names or (
            len(self._names) < AT_ONCE
            and self._size + len(body) <= BYTES_AT_ONCE
            and name not in self._names
        )

    def add(self, name: Name, body: bytes, due: Moment | None) -> None:
        """Put one in, scheduled or pending."""
        self._names.add(name)
        self._size += len(body)
        if due is None:
            self._words += (name, body, "")
        else:
            self._words += (name, body, repr(due))
            self._first = due if self._first is None else min(due, self._first)

    def words(self) -> list[Word]:
        """Return the moment that the first is scheduled for, and what there is to tell of each."""
        return ["" if self._first is None else repr(self._first), *self._words]
