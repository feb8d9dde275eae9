"""Coalesce concurrent enqueues into batches, without delaying one that comes alone."""

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from itertools import islice
from typing import Final, TypeAlias

from qcore.app.client.division import divided
from qcore.domain.answers import Admission
from qcore.domain.errors import InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import Producer

MAX_BATCH: Final = 1_000
"""Tasks in one call to the broker, unless a single caller has more."""


EnqueueAnswer: TypeAlias = Admission | InvalidTask
"""An answer to a task that was enqueued with others, or why the broker refuses it."""


async def enqueue_divided(
    producer: Producer, tasks: Sequence[NewTask], *, now: Moment
) -> Sequence[EnqueueAnswer]:
    """Store tasks; an error is at the place of each that the broker refuses for what is in it.

    Raises the error of an outage.
    """
    try:
        return await producer.enqueue(tasks, now=now)
    except Exception as error:  # noqa: BLE001  (each task is told, whatever it is)
        return _answers_or_outage(await _divide(producer, tasks, now, error))


async def _divide(
    producer: Producer, tasks: Sequence[NewTask], now: Moment, error: Exception
) -> Sequence[Admission | Exception]:
    return await divided(
        lambda some: producer.enqueue(some, now=now),
        tasks,
        error,
        queue_of=lambda task: task.queue,
    )


def _answers_or_outage(answers: Sequence[Admission | Exception]) -> Sequence[EnqueueAnswer]:
    """Return answers, among them the errors about single tasks; raise any other error."""
    given: list[EnqueueAnswer] = []
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, InvalidTask):
            raise answer
        given.append(answer)
    return given


class EnqueueCoalescer:
    """Enqueue through one batcher for each event loop.

    Futures belong to a loop: callers of one loop must not be woken from another's thread.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._local = threading.local()

    def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Awaitable[Sequence[EnqueueAnswer]]:
        """Store tasks, together with those of other callers."""
        loop = asyncio.get_running_loop()
        batcher: _LoopBatcher | None = getattr(self._local, "batcher", None)
        if batcher is None or batcher.loop is not loop:
            batcher = self._local.batcher = _LoopBatcher(self._producer, loop)
        return batcher.enqueue(tasks, now=now)


class _LoopBatcher:
    """Send at once if no call is on its way; else wait for it, and go in the next batch."""

    def __init__(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._producer = producer
        self._busy = False
        self._waiting: list[_Waiter] = []

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[EnqueueAnswer]:
        """Store tasks, together with those of other callers."""
        if self._busy:
            waiter = _Waiter(tasks, now)
            self._waiting.append(waiter)
            return await waiter.answers
        self._busy = True
        # not by `enqueue_divided`: another coroutine would cost a lone enqueue a hundredth
        try:
            return await self._producer.enqueue(tasks, now=now)
        except Exception as error:  # noqa: BLE001  (each task is told, whatever it is)
            return _answers_or_outage(await _divide(self._producer, tasks, now, error))
        finally:
            self._send_next()

    def _send_next(self) -> None:
        """Send the next batch of those who wait; if there is none, the next call goes at once."""
        self._waiting = [each for each in self._waiting if not each.answers.done()]
        if not self._waiting:
            self._busy = False
            return
        batch = _next_batch(self._waiting)
        del self._waiting[: len(batch)]
        self._sending = asyncio.create_task(self._send(batch))

    async def _send(self, batch: "Sequence[_Waiter]") -> None:
        tasks = [task for waiter in batch for task in waiter.tasks]
        try:
            answers = iter(await self._answers(tasks, max(waiter.now for waiter in batch)))
        except BaseException as error:  # noqa: BLE001  (each waiter is told, whatever it is)
            for waiter in batch:
                waiter.fail(error)
        else:
            for waiter in batch:
                waiter.answer(list(islice(answers, len(waiter.tasks))))
        finally:
            self._send_next()

    async def _answers(
        self, tasks: Sequence[NewTask], now: Moment
    ) -> Sequence[Admission | Exception]:
        try:
            return await self._producer.enqueue(tasks, now=now)
        except Exception as error:  # noqa: BLE001  (each task is told, whatever it is)
            return await _divide(self._producer, tasks, now, error)


class _Waiter:
    """A caller whose tasks are in a later batch."""

    def __init__(self, tasks: Sequence[NewTask], now: Moment) -> None:
        self.tasks = tasks
        self.now = now
        self.answers: asyncio.Future[Sequence[EnqueueAnswer]] = (
            asyncio.get_running_loop().create_future()
        )

    def answer(self, answers: Sequence[Admission | Exception]) -> None:
        """Return its answers to the caller, or raise the outage, unless it was cancelled."""
        if self.answers.done():
            return
        try:
            self.answers.set_result(_answers_or_outage(answers))
        except Exception as error:  # noqa: BLE001  (whatever it is)
            self.answers.set_exception(error)

    def fail(self, error: BaseException) -> None:
        """Raise an error in the caller, unless it was cancelled."""
        if not self.answers.done():
            self.answers.set_exception(error)


def _next_batch(waiting: "Sequence[_Waiter]") -> "list[_Waiter]":
    """Return the first callers whose tasks fit into one batch."""
    batch: list[_Waiter] = []
    size = 0
    for waiter in waiting:
        size += len(waiter.tasks)
        if batch and size > MAX_BATCH:
            break
        batch.append(waiter)
    return batch
