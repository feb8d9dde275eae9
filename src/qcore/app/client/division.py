"""Divide a batch that a broker refuses for what is in it, until each culprit is alone.

What a broker raises is an outage (`BrokerUnavailable`, an error of the system), or it concerns what
the batch holds (`BrokerRefused`, and other errors about a value). An error of another class, as a
driver may raise, can be either. It is taken for a refusal of the item that was alone in its call if
other items of the batch went in, and for an outage if none did.

A `BrokerUnusable` may be about one queue, such as one that a newer qcore has written. Nobody is
guilty of it, but what is in other queues goes in.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from qcore.domain.errors import BrokerRefused, BrokerUnavailable, BrokerUnusable, InvalidTask
from qcore.domain.retry import described

T = TypeVar("T")
A = TypeVar("A")

BatchCall: TypeAlias = Callable[[Sequence[T]], Awaitable[Sequence[A]]]
"""A verb of a broker that has an answer for each item."""

OUTAGES: Final = (BrokerUnavailable, OSError)
"""Errors that say nothing of what a call holds: the same call may succeed later."""
ABOUT_VALUES: Final = (ValueError, TypeError, ArithmeticError)
"""Errors about a value; `BrokerRefused` is one."""
MAX_FAILURES: Final = 3
"""Items that may fail alone, while none goes in, before the error is taken for an outage."""


async def divided(
    call: BatchCall[T, A],
    items: Sequence[T],
    error: Exception,
    *,
    queue_of: Callable[[T], str],
    repeat: int = 0,
) -> list[A | Exception]:
    """Return an answer to each item of a batch whose call has raised `error`, or why there is none.

    `InvalidTask` (mostly a `BrokerRefused`) is at the place of an item that the broker refuses
    whenever it is asked; after any other exception the item may go in later. In an outage no
    further call is made. Where the error is no `BrokerRefused`, an item that failed alone is tried
    up to `repeat` times more before it is found guilty: a `ValueError` may also be that of a reply
    that was cut off.
    """
    queues = {queue_of(item) for item in items}
    if not isinstance(error, BrokerUnusable) or len(queues) == 1:
        division = _Division(call, items, repeat)
        await division.divide(range(len(items)), error)
        return division.outcome()
    answers: dict[int, A | Exception] = {}
    for queue in queues:
        places = [n for n, item in enumerate(items) if queue_of(item) == queue]
        part = [items[n] for n in places]
        try:
            answers |= zip(places, await call(part), strict=True)
        except Exception as own:  # noqa: BLE001  (each item is told, whatever it is)
            found = await divided(call, part, own, queue_of=queue_of, repeat=repeat)
            answers |= zip(places, found, strict=True)
    return [answers[n] for n in range(len(items))]


class _Division(Generic[T, A]):
    def __init__(self, call: BatchCall[T, A], items: Sequence[T], repeat: int) -> None:
        self._call = call
        self._items = items
        self._repeat = repeat
        self._answers: list[A | Exception | None] = [None] * len(items)
        self._has_answers = False
        self._failures = 0
        self._outage: Exception | None = None

    async def divide(self, places: Sequence[int], error: Exception) -> None:
        """Find the culprits among the items at some places, whose call has raised `error`."""
        if isinstance(error, OUTAGES):
            self._outage = error
            return
        left = self._unanswered(places, error)
        if not left:
            return
        if len(left) == 1:
            await self._fail(left[0], error)
            return
        middle = len(left) // 2
        for half in (left[:middle], left[middle:]):
            await self._ask(half)

    async def _ask(self, places: Sequence[int]) -> None:
        if self._outage is not None:
            return
        try:
            answers = await self._call([self._items[n] for n in places])
        except Exception as error:  # noqa: BLE001  (each item is told, whatever it is)
            await self.divide(places, error)
            return
        self._has_answers = True
        for n, answer in zip(places, answers, strict=True):
            self._answers[n] = answer

    def _unanswered(self, places: Sequence[int], error: Exception) -> Sequence[int]:
        """Keep the answers that a refusal has to a part of its batch; return the other places."""
        if not isinstance(error, BrokerRefused) or not error.answers:
            return places
        for n, answer in zip(places, error.answers, strict=True):
            self._answers[n] = answer
        left = [n for n in places if self._answers[n] is None]
        self._has_answers = self._has_answers or len(left) < len(places)
        return left

    async def _fail(self, place: int, error: Exception) -> None:
        """Keep the error of an item that was alone, unless it goes in when it is tried again."""
        for _ in range(self._repeat if self._may_pass(error) else 0):
            try:
                (self._answers[place],) = await self._call([self._items[place]])
            except OUTAGES as outage:
                self._outage = outage
                return
            except Exception as again:  # noqa: BLE001  (each item is told, whatever it is)
                error = again
            else:
                self._has_answers = True
                return
        self._answers[place] = error
        self._failures += 1
        if self._failures == MAX_FAILURES and not self._has_answers and not _is_of_value(error):
            self._outage = error

    def _may_pass(self, error: Exception) -> bool:
        """Return whether an item seems to be refused, and its error may yet be one that passes."""
        return self._is_refusal(error) and not isinstance(error, BrokerRefused)

    def _is_refusal(self, error: Exception) -> bool:
        """Return whether the error of an item that was alone concerns it, and not all of them."""
        if isinstance(error, BrokerUnusable):
            return False
        return _is_of_value(error) or self._has_answers

    def outcome(self) -> list[A | Exception]:
        """Return the answers, with errors in the place of those that are missing."""
        return [
            self._outage or BrokerUnavailable("it was not asked")
            if answer is None
            else self._judged(answer)
            if isinstance(answer, Exception)
            else answer
            for answer in self._answers
        ]

    def _judged(self, error: Exception) -> Exception:
        """Return the error of an item that was alone: as a refusal, if it is one."""
        if isinstance(error, InvalidTask) or not self._is_refusal(error):
            return error
        refusal = BrokerRefused(f"the broker refuses it: {described(error)}")
        refusal.__cause__ = error
        return refusal


def _is_of_value(error: Exception) -> bool:
    return isinstance(error, ABOUT_VALUES)
