"""Run details: save the progress and work of runs, and read them with the history of errors."""

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
"""Of saved work in one call: the server reads a call before it serves anybody else."""
MAX_READS_PER_CALL: Final = 25
"""Tasks in one call: each may have saved much work."""


async def save_details(
    runner: ScriptRunner, updates: Sequence[DetailsUpdate]
) -> list[DetailsSaved | LeaseLost]:
    """Save the progress and work of runs whose leases are current."""
    answers: list[DetailsSaved | LeaseLost] = [LeaseLost() for _ in updates]
    chunked = [
        (queue, chunk)
        for queue, places in group_by_queue(
            (each.lease.queue, n) for n, each in enumerate(updates)
        ).items()
        for chunk in _chunks(updates, places)
    ]
    asked = [([queue], _words([updates[n] for n in chunk])) for queue, chunk in chunked]
    for (_, chunk), reply in zip(
        chunked, await runner.run_idempotent(SAVE_DETAILS, asked), strict=True
    ):
        for n, kept in zip(chunk, reply.decode(), strict=True):
            if kept == "1":
                answers[n] = DetailsSaved()
    return answers


def _chunks(updates: Sequence[DetailsUpdate], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of updates, as many at a time as go into one call."""
    chunk: list[int] = []
    size = 0
    for place in places:
        saved = updates[place].saved
        if chunk and (len(chunk) == MAX_TASKS_PER_CALL or size > MAX_BYTES_PER_CALL):
            yield chunk
            chunk, size = [], 0
        chunk.append(place)
        size += 0 if saved is None else len(saved)
    yield chunk


def _words(updates: Sequence[DetailsUpdate]) -> list[Arg]:
    words: list[Arg] = [len(updates), *(encode_id(each.lease.id) for each in updates)]
    words += (each.lease.token for each in updates)
    for each in updates:
        words.append(b"" if each.progress is None else encode(each.progress))
        words += (0, b"") if each.saved is None else (1, each.saved)
    return words


async def details(runner: ScriptRunner, queue: str, ids: Sequence[TaskId]) -> list[Details | None]:
    """Return the details of tasks, None where there is no task."""
    asked = [([queue], [*chunk]) for chunk in chunks([*map(encode_id, ids)], MAX_READS_PER_CALL)]
    rows = [item for reply in await runner.run_idempotent(DETAILS, asked) for item in reply]
    return [
        None if there is None else decode_details(*parts)
        for there, *parts in zip(*(rows[n::5] for n in range(5)), strict=True)
    ]
