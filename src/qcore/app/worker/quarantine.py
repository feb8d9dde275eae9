"""Queues that cannot be served, put aside so that the others can."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.app.worker.instruments import Instruments
from qcore.domain.errors import BrokerUnusable, QcoreError
from qcore.domain.events import BrokerFailed, BrokerRecovered
from qcore.domain.retry import Dice
from qcore.ports import Clock

T = TypeVar("T")

LONGEST_STAY: Final = 60.0
"""Seconds."""


class Quarantine:
    """Call a broker for some queues without those that somebody has to see to.

    One that a newer qcore has written, or that holds somebody else's data, ends a call for all. It
    is told of when it is found, and whenever it was tried again in vain: by itself, with growing,
    jittered pauses. `name` is what calls are called, `queues` are all that there are.
    """

    def __init__(
        self, name: str, queues: Sequence[str], *, clock: Clock, dice: Dice, emit: Instruments
    ) -> None:
        self._name = name
        self._has_others = len(queues) > 1
        self._clock = clock
        self._emit = emit
        self._stays: FailureBackoff[str] = FailureBackoff(
            clock, dice, longest=LONGEST_STAY, remembered=len(queues)
        )

    def fit(self, queues: Sequence[str]) -> Sequence[str]:
        """Return those queues that are not put aside."""
        if not self._stays:
            return queues
        return [queue for queue in queues if queue not in self._stays]

    async def serve(
        self, queues: Sequence[str], call: Callable[[Sequence[str]], Awaitable[T]]
    ) -> list[T]:
        """Return what `call` answers for those of these queues that can be served.

        Raises what it raises where it has not answered, unless that is of some queues alone.
        """
        if not self._has_others:
            return [await call(queues)]
        answers: list[T] = []
        try:
            if fit := self.fit(queues):
                await self._together(fit, call, answers)
            for queue in self._over(queues):
                await self._again(queue, call, answers)
        except QcoreError:
            # what was answered is not to be lost: whoever calls again comes upon it again
            if not answers:
                raise
        return answers

    async def _together(
        self,
        queues: Sequence[str],
        call: Callable[[Sequence[str]], Awaitable[T]],
        answers: list[T],
    ) -> None:
        """Call for all at once, and where that fails for each, to find out which it is."""
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
                # it is not these queues, but what they are in
                raise
            for queue, why in bad.items():
                self._put(queue, why)

    async def _again(
        self, queue: str, call: Callable[[Sequence[str]], Awaitable[T]], answers: list[T]
    ) -> None:
        try:
            answers.append(await call([queue]))
        except BrokerUnusable as error:
            self._put(queue, error)
        else:
            self._emit(BrokerRecovered(self._name, self._stays.forget(queue)))

    def _over(self, queues: Sequence[str]) -> Sequence[str]:
        """Return those queues that are to be tried again."""
        if not self._stays:
            return ()
        now, stays = self._clock.now(), self._stays
        return [queue for queue in queues if queue in stays and stays.until(queue) <= now]

    def _put(self, queue: str, error: BrokerUnusable) -> None:
        """Put a queue aside, for longer each time."""
        pause = self._stays.add(queue)
        problem = BrokerUnusable(f"queue {queue!r} is not served, the others are: {error}")
        self._emit(BrokerFailed(self._name, problem, pause))
