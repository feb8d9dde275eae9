"""Middleware around what a client sends to its broker."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeAlias

from qcore.app.client.coalescing import EnqueueAnswer
from qcore.domain.events import TasksEnqueued
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask

SendTasks: TypeAlias = Callable[[Sequence[NewTask]], Awaitable[Sequence[EnqueueAnswer]]]
"""The rest of an enqueue, which a middleware awaits; each answer is at its task's place."""

EnqueueMiddleware: TypeAlias = Callable[
    [Sequence[NewTask], SendTasks], Awaitable[Sequence[EnqueueAnswer]]
]
"""Called in the context of whoever enqueues, before concurrent calls are coalesced. It may give
tasks other headers; their ids, names and queues are those of the handles that the caller gets."""


TellEnqueued: TypeAlias = Callable[[TasksEnqueued], None]


class Enqueue(Protocol):
    """Store tasks at a moment."""

    def __call__(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Awaitable[Sequence[EnqueueAnswer]]:
        """Return an answer for each."""
        ...


def wrapped(enqueue: Enqueue, middleware: Sequence[EnqueueMiddleware]) -> Enqueue:
    """Return `enqueue` inside every middleware, the first outermost; itself where there is none."""
    for each in reversed(middleware):
        enqueue = partial(_around, each, enqueue)
    return enqueue


async def _around(
    middleware: EnqueueMiddleware, enqueue: Enqueue, tasks: Sequence[NewTask], *, now: Moment
) -> Sequence[EnqueueAnswer]:
    return await middleware(tasks, partial(enqueue, now=now))


def told(enqueue: Enqueue, tell: TellEnqueued | None) -> Enqueue:
    """Return `enqueue`, and tell of each of its answers; itself where nobody wants to know."""
    return enqueue if tell is None else partial(_and_tell, tell, enqueue)


async def _and_tell(
    tell: TellEnqueued, enqueue: Enqueue, tasks: Sequence[NewTask], *, now: Moment
) -> Sequence[EnqueueAnswer]:
    answers = await enqueue(tasks, now=now)
    tell(TasksEnqueued(tasks, answers))
    return answers
