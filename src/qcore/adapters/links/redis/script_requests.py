"""Requests of a pipeline: the calls of a script, each made when it is taken to be sent."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from qcore.adapters.links.redis.interfaces import Script, ScriptCall
from qcore.adapters.links.redis.pool import Request, Requests
from qcore.adapters.links.redis.resp import Reply
from qcore.adapters.links.redis.retries import RequestFactory

FirstAttempt: TypeAlias = tuple[int, Sequence[Reply | Exception], Exception | None, float, int]
"""How many requests were sent, the replies, and what has failed, if anything has; when that began,
and how many departures there had been."""


def script_requests(script: Script, calls: Sequence[ScriptCall]) -> RequestFactory:
    """Return what makes the requests of calls of a script."""

    def request(n: int, again: int, with_text: bool) -> Request:  # noqa: FBT001
        call = calls[n]
        keys = call.keys
        name, text = ("EVAL", script.text) if with_text else ("EVALSHA", script.digest)
        return keys[0], (name, text, len(keys), *keys, again, call.number, *call.args)

    return request


def first_requests(request: RequestFactory, number: int) -> Requests:
    """Return the requests of a first attempt."""
    return LazyRequests(request, number) if number > 1 else [request(0, 0, False)]  # noqa: FBT003


class LazyRequests:
    """Requests made when they are taken: Redis works on the first while others are made."""

    def __init__(self, request: RequestFactory, number: int, last: Sequence[Request] = ()) -> None:
        self._request = request
        self._number = number
        self._last = last

    def __len__(self) -> int:
        return self._number + len(self._last)

    def __iter__(self) -> Iterator[Request]:
        for n in range(self._number):
            yield self._request(n, 0, False)  # noqa: FBT003
        yield from self._last


def has_errors(answers: Sequence[Reply | Exception]) -> bool:
    """Return whether there is an error reply among answers."""
    for answer in answers:  # noqa: SIM110  (a generator takes three times as long)
        if isinstance(answer, Exception):
            return True
    return False
