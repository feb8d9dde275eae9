"""What runs say of themselves, and what is kept of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import Word
from qcore.adapters.redis.details import details_of, written
from qcore.adapters.redis.names import id_of, name_of
from qcore.adapters.redis.scripts import DETAILS, NOTE
from qcore.adapters.redis.store import AT_ONCE, Store, bites, by_queue
from qcore.domain.answers import LeaseLost
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.ports import Listener, Told

BYTES_AT_ONCE: Final = 1 << 19
"""Of one call: a large one takes the server long to read."""
READ_AT_ONCE: Final = 25
"""Tasks: each may have saved a lot."""


async def save_details(
    store: Store, notes: Sequence[DetailsUpdate]
) -> list[DetailsSaved | LeaseLost]:
    """Keep what runs say of themselves."""
    answers: list[DetailsSaved | LeaseLost] = [LeaseLost() for _ in notes]
    bitten = [
        (queue, bite)
        for queue, places in by_queue((each.lease.queue, n) for n, each in enumerate(notes)).items()
        for bite in _bites(notes, places)
    ]
    asked = [([queue], _words([notes[n] for n in bite])) for queue, bite in bitten]
    for (_, bite), reply in zip(bitten, await store.look(NOTE, asked), strict=True):
        for n, kept in zip(bite, reply.decode(), strict=True):
            if kept == "1":
                answers[n] = DetailsSaved()
    return answers


def _bites(notes: Sequence[DetailsUpdate], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield as many notes as go into one call, and then others."""
    bite: list[int] = []
    size = 0
    for place in places:
        saved = notes[place].saved
        if bite and (len(bite) == AT_ONCE or size > BYTES_AT_ONCE):
            yield bite
            bite, size = [], 0
        bite.append(place)
        size += 0 if saved is None else len(saved)
    yield bite


def _words(notes: Sequence[DetailsUpdate]) -> list[Word]:
    words: list[Word] = [len(notes), *(name_of(each.lease.id) for each in notes)]
    words += (each.lease.token for each in notes)
    for each in notes:
        words.append(b"" if each.progress is None else written(each.progress))
        words += (0, b"") if each.saved is None else (1, each.saved)
    return words


async def details(store: Store, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return what is kept of the runs of tasks."""
    asked = [([queue], [*bite]) for bite in bites([*map(name_of, ids)], READ_AT_ONCE)]
    rows = [item for reply in await store.look(DETAILS, asked) for item in reply]
    return [
        None if there is None else details_of(errors, progress, saved)
        for there, errors, progress, saved in zip(*(rows[n::4] for n in range(4)), strict=True)
    ]


async def follow(store: Store, queues: Sequence[str], told: Told) -> Listener:
    """Call `told` whenever tasks of these queues have news, and after every connection."""
    channels = {store.keys.news(queue): queue for queue in queues}

    def connected() -> None:
        for queue in queues:
            told(queue, ())

    def said(channel: str, text: bytes) -> None:
        try:
            ids = [*_ids(text)]
        except ValueError:
            # said by somebody else: who does not know what it means had better look
            ids = []
        told(channels[channel], ids)

    return await store.link.listen([*channels], connected, said)


def _ids(text: bytes) -> Iterator[TaskId]:
    """Yield ids, each behind the length of what it is stored as, and a blank."""
    start = 0
    while start < len(text):
        blank = text.index(b" ", start)
        size = int(text[start:blank])
        if not 0 < size <= len(text) - blank - 1:
            raise ValueError("expected an id")
        start = blank + 1 + size
        yield id_of(text[blank + 1 : start])
