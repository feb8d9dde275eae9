"""Keep queues that the broker cannot serve apart, so that the others are served."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.app.worker.instruments import Instruments
from qcore.domain.errors import BrokerUnusable, QcoreError
from qcore.domain.events import BrokerFailed, BrokerRecovered
from qcore.domain.moments import Moment
from qcore.domain.retry import Dice
from qcore.ports import Clock

T = TypeVar("T")

LONGEST_QUARANTINE: Final = 60.0
"""Seconds after which a queue in quarantine is tried again at the latest."""


class Quarantine:
    """Make one kind of call for several queues, without those that raise `BrokerUnusable`.

    A queue that a newer qcore has written, or whose keys hold data of another program, fails a
    call for all queues. It is found by one call for each queue, reported as `BrokerFailed`, and
    tried again by itself with exponential backoff; each failed attempt is reported. `name` stands
    for the call in these events, `most` is for how many queues it is made at most.
    """

    def __init__(
        self, name: str, most: int, *, clock: Clock, dice: Dice, emit: Instruments
    ) -> None:
        self._name = name
        self._has_others = most > 1
        self._clock = clock
        self._emit = emit
        self._backoff: FailureBackoff[str] = FailureBackoff(
            clock, dice, longest=LONGEST_QUARANTINE, remembered=most
        )

    def fit(self, queues: Sequence[str]) -> Sequence[str]:
        """Return those of these queues that are not in quarantine."""
        if not self._backoff:
            return queues
        return [queue for queue in queues if queue not in self._backoff]

    def next_retry(self) -> Moment:
        """Return when a queue in quarantine is tried again; infinity where none is in it."""
        return self._backoff.next_retry()

    async def serve(
        self, queues: Sequence[str], call: Callable[[Sequence[str]], Awaitable[T]]
    ) -> list[T]:
        """Return the answers of `call`, made for those of these queues that can be served.

        Raises what `call` raises if it never answered, but for what concerns single queues.
        """
        if not self._has_others:
            return [await call(queues)]
        answers: list[T] = []
        try:
            if fit := self.fit(queues):
                await self._call_for_all(fit, call, answers)
            for queue in self._to_retry(queues):
                await self._retry(queue, call, answers)
        except QcoreError:
            # answers such as claimed tasks must not be lost; the next call meets the error again
            if not answers:
                raise
        return answers

    async def _call_for_all(
        self,
        queues: Sequence[str],
        call: Callable[[Sequence[str]], Awaitable[T]],
        answers: list[T],
    ) -> None:
        """Make one call for all, and where that fails one for each, to find which queue it is."""
        try:
            answers.append(await call(queues))
        except BrokerUnusable:
            bad: dict[str, BrokerUnusable] = {}
            for queue in queues:
                try:
                    answers.append(await call([queue]))
                except BrokerUnusable as error:
                    bad[queue] = error
            if len(bad) == len(queues) > 1:
                # not a queue is at fault, but the store
                raise
            for queue, problem in bad.items():
                self._isolate(queue, problem)

    async def _retry(
        self, queue: str, call: Callable[[Sequence[str]], Awaitable[T]], answers: list[T]
    ) -> None:
        try:
            answers.append(await call([queue]))
        except BrokerUnusable as error:
            self._isolate(queue, error)
        else:
            self._emit(BrokerRecovered(self._name, self._backoff.forget(queue)))

    def _to_retry(self, queues: Sequence[str]) -> Sequence[str]:
        """Return the queues whose time in quarantine is over for now."""
        if not self._backoff:
            return ()
        now, backoff = self._clock.now(), self._backoff
        return [queue for queue in queues if queue in backoff and backoff.retry_at(queue) <= now]

    def _isolate(self, queue: str, error: BrokerUnusable) -> None:
        """Put a queue into quarantine, for longer each time."""
        pause = self._backoff.add(queue)
        report = BrokerUnusable(f"queue {queue!r} is not served, the others are: {error}")
        self._emit(BrokerFailed(self._name, report, pause))
