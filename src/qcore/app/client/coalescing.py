"""Many small enqueues at once become one large one, without delaying a lone one."""

import asyncio
import threading
from collections.abc import Sequence
from itertools import islice
from typing import Final

from qcore.domain.answers import Admission
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import Producer

MOST_AT_ONCE: Final = 1_000


class Coalescing:
    """One line of callers for each loop: none is woken from another's thread, or by a dead one."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._here = threading.local()

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks, together with those of other callers."""
        loop = asyncio.get_running_loop()
        line: _Line | None = getattr(self._here, "line", None)
        if line is None or line.loop is not loop:
            line = self._here.line = _Line(self._producer, loop)
        return await line.enqueue(tasks, now=now)


class _Line:
    """Send at once when nothing is on its way; else wait for it, and go with all who wait."""

    def __init__(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._producer = producer
        self._busy = False
        self._waiting: list[_Waiter] = []

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        """Store tasks, together with those of other callers."""
        if self._busy:
            waiter = _Waiter(tasks, now)
            self._waiting.append(waiter)
            return await waiter.answers
        self._busy = True
        try:
            return await self._producer.enqueue(tasks, now=now)
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let those who waited go next, or open the way."""
        self._waiting = [each for each in self._waiting if not each.answers.done()]
        if not self._waiting:
            self._busy = False
            return
        crew = _as_many_as_fit(self._waiting)
        del self._waiting[: len(crew)]
        self._sending = asyncio.create_task(self._send(crew))

    async def _send(self, crew: "Sequence[_Waiter]") -> None:
        tasks = [task for waiter in crew for task in waiter.tasks]
        try:
            answers = iter(
                await self._producer.enqueue(tasks, now=max(waiter.now for waiter in crew))
            )
        except BaseException as error:  # noqa: BLE001  (each waiter is told, whatever it is)
            for waiter in crew:
                waiter.fail(error)
        else:
            for waiter in crew:
                waiter.answer(list(islice(answers, len(waiter.tasks))))
        finally:
            self._hand_over()


class _Waiter:
    """A caller whose tasks go with the next batch."""

    def __init__(self, tasks: Sequence[NewTask], now: Moment) -> None:
        self.tasks = tasks
        self.now = now
        self.answers: asyncio.Future[Sequence[Admission]] = (
            asyncio.get_running_loop().create_future()
        )

    def answer(self, answers: Sequence[Admission]) -> None:
        """Give the caller its answers, unless it has gone."""
        if not self.answers.done():
            self.answers.set_result(answers)

    def fail(self, error: BaseException) -> None:
        """Tell the caller that it failed, unless it has gone."""
        if not self.answers.done():
            self.answers.set_exception(error)


def _as_many_as_fit(waiting: "Sequence[_Waiter]") -> "list[_Waiter]":
    """Return the first who wait, up to a batch that no store should mind."""
    crew: list[_Waiter] = []
    size = 0
    for waiter in waiting:
        size += len(waiter.tasks)
        if crew and size > MOST_AT_ONCE:
            break
        crew.append(waiter)
    return crew
