"""What runs say of themselves, and what is kept of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.details_codec import decode_details, encode
from qcore.adapters.redis.encoding import encode_id
from qcore.adapters.redis.script_runner import (
    MAX_TASKS_PER_CALL,
    ScriptRunner,
    chunks,
    group_by_queue,
)
from qcore.adapters.redis.scripts import DETAILS, SAVE_DETAILS
from qcore.domain.answers import LeaseLost
from qcore.domain.new_task import TaskId
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate

MAX_BYTES_PER_CALL: Final = 1 << 19
"""Of one call: a large one takes the server long to read."""
MAX_READS_PER_CALL: Final = 25
"""Tasks: each may have saved a lot."""


async def save_details(
    runner: ScriptRunner, notes: Sequence[DetailsUpdate]
) -> list[DetailsSaved | LeaseLost]:
    """Keep what runs say of themselves."""
    answers: list[DetailsSaved | LeaseLost] = [LeaseLost() for _ in notes]
    chunked = [
        (queue, chunk)
        for queue, places in group_by_queue(
            (each.lease.queue, n) for n, each in enumerate(notes)
        ).items()
        for chunk in _chunks(notes, places)
    ]
    asked = [([queue], _words([notes[n] for n in chunk])) for queue, chunk in chunked]
    for (_, chunk), reply in zip(
        chunked, await runner.run_idempotent(SAVE_DETAILS, asked), strict=True
    ):
        for n, kept in zip(chunk, reply.decode(), strict=True):
            if kept == "1":
                answers[n] = DetailsSaved()
    return answers


def _chunks(notes: Sequence[DetailsUpdate], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield as many notes as go into one call, and then others."""
    chunk: list[int] = []
    size = 0
    for place in places:
        saved = notes[place].saved
        if chunk and (len(chunk) == MAX_TASKS_PER_CALL or size > MAX_BYTES_PER_CALL):
            yield chunk
            chunk, size = [], 0
        chunk.append(place)
        size += 0 if saved is None else len(saved)
    yield chunk


def _words(notes: Sequence[DetailsUpdate]) -> list[Arg]:
    words: list[Arg] = [len(notes), *(encode_id(each.lease.id) for each in notes)]
    words += (each.lease.token for each in notes)
    for each in notes:
        words.append(b"" if each.progress is None else encode(each.progress))
        words += (0, b"") if each.saved is None else (1, each.saved)
    return words


async def details(runner: ScriptRunner, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return what is kept of the runs of tasks."""
    asked = [([queue], [*chunk]) for chunk in chunks([*map(encode_id, ids)], MAX_READS_PER_CALL)]
    rows = [item for reply in await runner.run_idempotent(DETAILS, asked) for item in reply]
    return [
        None if there is None else decode_details(errors, progress, saved)
        for there, errors, progress, saved in zip(*(rows[n::4] for n in range(4)), strict=True)
    ]
