"""Send again what has no reply: which requests, when, and over which connection.

The theory is told at the head of `link`: "Retries" and "Errors".
"""

from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final, TypeAlias

from redis.exceptions import NoScriptError, RedisError

from qcore.adapters.links.clock_sync import monotonic
from qcore.adapters.links.redis.errors import is_refusal, is_transient, mapped, must_leave
from qcore.adapters.links.redis.failover import Failover
from qcore.adapters.links.redis.pool import Request, Transport
from qcore.adapters.links.redis.refusals import answers_another, is_large, is_lost, refusal
from qcore.adapters.links.redis.resp import Reply, is_error_reply
from qcore.domain.backoff import Exponential
from qcore.domain.errors import BrokerRefused

BACKOFF: Final = Exponential(base=0.05, cap=1.0)
MIN_PAUSE: Final = 0.01
MISSING: Final = object()
"""Stands for a reply that has not arrived."""

RequestFactory: TypeAlias = Callable[[int, int, bool], Request]
"""Makes a request by its index, told 1 if it is sent again, and whether to send a script's text."""


class Retries:
    """Send requests again until each has its reply."""

    def __init__(self, transport: Transport, failover: Failover, *, shown: str) -> None:
        self._transport = transport
        self._failover = failover
        self._shown = shown

    async def run(
        self,
        error: Exception | None,
        request: RequestFactory,
        answers: list[Reply],
        *,
        together: bool,
        ends: float,
        departures: int,
    ) -> None:
        """Send requests again until all are answered, the time is over, or an error is permanent.

        Raises that error, mapped. `departures` is how many there were before the first attempt.
        """
        with_text, again, failures = False, 0, 0
        while error is not None:
            if must_leave(error, self._shown):
                self._failover.leave(departures)
            if isinstance(error, NoScriptError) and not with_text:
                with_text = True
            else:
                pause = max(MIN_PAUSE, BACKOFF(failures, SystemRandom().random()))
                if not is_transient(error, self._shown) or monotonic() + pause > ends:
                    raise mapped(error, self._shown) from error
                with_text, again, failures = False, 1, failures + 1
                await self._transport.pause(pause)
            if together:
                answers[:] = [MISSING] * len(answers)
            missing = [n for n, answer in enumerate(answers) if answer is MISSING]
            requests = [request(n, again, with_text) for n in missing]
            departures = self._failover.departures
            error = await self._attempt(requests, missing, answers)
            if failures and is_lost(error) and monotonic() < ends:
                error = await self._isolate(error, request, answers)
            if together:
                raise_refusal(answers)

    async def _isolate(
        self, error: Exception | None, request: RequestFactory, answers: list[Reply]
    ) -> Exception | None:
        """Send the first large request that has no reply alone; answer it if it is refused.

        `error` is why replies are missing; return why others still are.
        """
        missing = (n for n, answer in enumerate(answers) if answer is MISSING)
        suspects = ((n, request(n, 1, False)) for n in missing)  # noqa: FBT003
        n, suspect = next((each for each in suspects if is_large(each[1])), (0, None))
        if suspect is None or not await answers_another(self._transport, suspect):
            return error
        again = await self._attempt([suspect], [n], answers)
        if again is not None and not is_lost(again):
            return again
        if again is not None and await answers_another(self._transport, suspect):
            answers[n] = refusal(suspect, self._shown)
        return error if MISSING in answers else None

    async def _attempt(
        self, requests: Sequence[Request], positions: Sequence[int], answers: list[Reply]
    ) -> Exception | None:
        """Put replies at their positions; return an error if not all arrived."""
        replies: list[Reply | Exception] = []
        failure: Exception | None = None
        try:
            await self._transport.exchange(requests, replies)
        except (RedisError, OSError) as error:
            failure = error
        return self.place(replies, positions, answers, failure)

    def place(
        self,
        replies: Sequence[Reply | Exception],
        positions: Sequence[int],
        answers: list[Reply],
        failure: Exception | None,
    ) -> Exception | None:
        """Put replies, and refusals, at their positions; return why the others are missing."""
        for n, reply in zip(positions, replies, strict=False):
            if not isinstance(reply, Exception):
                answers[n] = reply
            elif is_refusal(reply):
                answers[n] = mapped(reply, self._shown)
            elif failure is None or _rank(reply) < _rank(failure):
                failure = reply
        return failure


def _rank(error: Exception) -> int:
    """Return which of several errors decides what is done next: that of the lowest rank.

    What was lost may have been executed, and is a repeated call from then on. A script that is
    unknown is sent at once, whatever is wrong with other calls of the pipeline.
    """
    if not is_error_reply(error):
        return 0
    return 1 if isinstance(error, NoScriptError) else 2


def raise_refusal(answers: Sequence[Reply | Exception]) -> None:
    """Raise the first `BrokerRefused` among answers."""
    for answer in answers:
        if isinstance(answer, BrokerRefused):
            raise answer
