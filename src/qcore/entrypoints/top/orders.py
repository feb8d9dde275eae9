"""Orders: what they are for is fixed and counted before they are asked about."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from qcore.app.client.auditing import default_operator
from qcore.app.client.bulk_moves import MoveProgress
from qcore.app.client.queries import Query
from qcore.domain.answers import Moved
from qcore.domain.audit import attributed
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.transitions import Archived, Cancelled, Deleted, RunNow
from qcore.entrypoints.cli.asking import Store
from qcore.entrypoints.written_numbers import tasks as in_words

Steps: TypeAlias = AsyncGenerator[str, None]
"""What has been done so far, in words; the last one is the end."""
Ordered: TypeAlias = RunNow | Cancelled | Archived | Deleted
MOVES: Final[Mapping[str, Callable[[], Ordered]]] = {
    "run": RunNow,
    "cancel": Cancelled,
    "archive": Archived,
    "delete": Deleted,
}
"""Orders for tasks; the audit trails of these tell who gave them."""
MOST_NAMED: Final = 3


@record
class Order:
    """What is to be done, and to what."""

    question: str
    """What it does, and to how many."""
    steps: Callable[[Store], Steps]


def named(names: Sequence[str]) -> str:
    """Return the first of some names, and how many others there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def is_of_tasks(verb: str) -> bool:
    """Return whether an order is one for tasks."""
    return verb in MOVES


def for_tasks(verb: str, chosen: Sequence[tuple[str, TaskId]]) -> Order:
    """Return an order for tasks that were chosen one by one, by their queues and ids."""

    async def steps(store: Store) -> Steps:
        by_queue: defaultdict[str, list[str]] = defaultdict(list)
        for queue, task in chosen:
            by_queue[queue].append(task)
        done = 0
        for queue, ids in by_queue.items():
            now = store.now()
            answers = await store.broker.execute(queue, ids, _move(verb), now=now)
            done += sum(isinstance(answer, Moved) for answer in answers)
        left = len(chosen) - done
        skipped = f", {left:,} skipped: gone, or in a state that does not allow it" if left else ""
        yield f"{verb}: {in_words(done)} done{skipped}"

    return Order(f"{verb} {in_words(len(chosen))}: {named([task for _, task in chosen])}", steps)


async def for_queries(
    store: Store, verb: str, queries: Sequence[Query], names: Sequence[str]
) -> Order | None:
    """Return an order for all tasks of queries that there are now; None for none.

    `names` say what the queries are, as the question has them.
    """
    move = _move(verb)
    previews = [await store.inspector.preview(query, move) for query in queries]
    count = sum(each.count for each in previews)
    if not count:
        return None

    async def steps(store: Store) -> Steps:
        done = MoveProgress()
        for each in previews:
            before = done
            again = _move(verb)
            moves = store.inspector.move(each.query, again, as_of=each.as_of)
            async with aclosing(moves):
                async for so_far in moves:
                    done = before + so_far
                    yield (
                        f"{verb}: {in_words(done.done)} done, {done.skipped:,} skipped, "
                        f"{done.failed:,} failed"
                    )

    more = "" if all(each.is_complete for each in previews) else " or more"
    return Order(f"{verb} {in_words(count)}{more}: {named(names)}", steps)


def for_each(
    verb: str, what: str, names: Sequence[str], change: Callable[[Store, int], Awaitable[str]]
) -> Order:
    """Return an order for things that are changed one by one; `change` is given their numbers."""

    async def steps(store: Store) -> Steps:
        for number, name in enumerate(names):
            yield f"{verb} {name}: {await change(store, number)}"

    return Order(f"{verb} {what}: {named(names)}", steps)


def _move(verb: str) -> Ordered:
    return attributed(MOVES[verb](), default_operator(), None)
