"""The link itself: it asks again where it may, keeps the server's time, and names what is wrong."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import SystemRandom
from time import monotonic
from typing import Final, TypeAlias
from weakref import WeakSet

from redis.exceptions import NoScriptError, RedisError

from qcore.adapters.links.redis.address import DEFAULT_TIMEOUT, Address
from qcore.adapters.links.redis.clock_sync import ServerTime
from qcore.adapters.links.redis.durability import Safety
from qcore.adapters.links.redis.errors import is_transient, mapped
from qcore.adapters.links.redis.interfaces import Call, OnMessage, Script, Surroundings
from qcore.adapters.links.redis.pool import Request, Wire
from qcore.adapters.links.redis.pubsub import Ear, NewEar
from qcore.adapters.links.redis.resp import Reply, Word
from qcore.adapters.links.redis.server_info import refuse_unfit
from qcore.adapters.links.redis.topology import surroundings
from qcore.domain.backoff import Exponential
from qcore.domain.errors import BrokerUnavailable, QcoreError
from qcore.domain.moments import LAST_MOMENT, Moment

CURVE: Final = Exponential(base=0.05, cap=1.0)
LEAST_PAUSE: Final = 0.01
MISSING: Final = object()

Asking: TypeAlias = Callable[[int, int, bool], Request]
"""Makes a request by its number; told 1 where it is asked for again, and whether with its text."""


class RedisLink:
    """Scripts and commands over a wire, for as long as `timeout` seconds in all."""

    def __init__(
        self,
        wire: Wire,
        *,
        shown: str,
        ear: NewEar,
        twin: "Callable[[ServerTime], RedisLink] | None" = None,
        spans: bool = True,
        timeout: float = DEFAULT_TIMEOUT,
        safety: Safety | None = None,
        time: ServerTime | None = None,
        address: Address | None = None,
    ) -> None:
        self.shown = shown
        self._address = address
        self.spans = spans
        self._wire = wire
        self._ear = ear
        self._ears: WeakSet[Ear] = WeakSet()
        self._twin = twin
        self._timeout = timeout
        self._safety = safety or Safety()
        self.is_patient = self._safety.is_wanted
        """Whether `safely` waits for anything."""
        self._time = time or ServerTime()
        self._is_open = False
        # asked for twice a task: no need to go through here
        self.time: Callable[[], Moment] = self._time.now

    async def open(self) -> None:
        """Connect, and ask the server for its time; raise at once where that fails."""
        try:
            await self._meet()
        except BaseException:
            await self._wire.close()
            raise
        self._is_open = True

    async def _meet(self) -> None:
        replies: list[Reply | Exception] = []
        began = monotonic()
        try:
            await self._wire.exchange([(None, ("TIME",)), (None, ("INFO", "server"))], replies)
        except (RedisError, OSError) as error:
            raise mapped(error, self.shown, new=True) from error
        for reply in replies[:1]:
            if isinstance(reply, Exception):
                raise mapped(reply, self.shown, new=True) from reply
        self._time.note(replies[0], began, monotonic())
        if isinstance(replies[1], bytes):
            refuse_unfit(replies[1], self.shown, cluster=not self.spans)
            self._safety.refuse_unfit(replies[1], self.shown)

    async def close(self) -> None:
        """Disconnect, and stop listening; a later call connects again."""
        self._is_open = False
        for ear in tuple(self._ears):
            await ear.close()
        await self._wire.close()

    async def around(self) -> Surroundings:
        """Return the servers here; raise as `open` does where a cluster does not tell them."""
        return await surroundings(self._wire, self.shown, self._address)

    def blocking(self) -> "RedisLink":
        """Return a link to the same Redis that never suspends."""
        return self if self._twin is None else self._twin(self._time)

    async def listen(
        self, channels: Sequence[str], connected: Callable[[], None], on_message: OnMessage
    ) -> Ear:
        """Call `on_message` for every message to these channels, `connected` after each connection.

        What was said before a connection was made is lost.
        """
        ear = self._ear(channels, connected, on_message)
        self._ears.add(ear)
        error = await ear.begin(self._timeout)
        if error is not None and not is_transient(error, self.shown):
            await ear.close()
            raise mapped(error, self.shown) from error
        return ear

    def waits_until(self) -> Moment:
        """Return until when, by the server's clock, a call that is made now is waited for."""
        # not less than clocks of a cluster may differ by
        patience = max(self._timeout, DEFAULT_TIMEOUT)
        return self._time.now() + patience if self._time.is_known else LAST_MOMENT

    async def command(self, *words: Word) -> Reply:
        """Send a command that may be sent twice; return its answer."""
        key = str(words[1]) if len(words) > 1 else None
        (reply,) = await self._insist(1, lambda _n, _again, _text: (key, words))
        return reply

    async def run(
        self,
        script: Script,
        calls: Sequence[Call],
        *,
        safely: bool = False,
        partly: bool = False,
    ) -> list[Reply]:
        """Call a script, with all calls on their way at once; return the answers in order."""

        def request(n: int, again: int, whole: bool) -> Request:  # noqa: FBT001
            call = calls[n]
            keys = call.keys
            name, text = ("EVAL", script.text) if whole else ("EVALSHA", script.digest)
            return keys[0], (name, text, len(keys), *keys, again, call.number, *call.words)

        if not (safely and self.is_patient):
            return await self._insist(len(calls), request, partly=partly)
        checks = [check for call in calls for check in self._safety.checks(call.keys[0])]

        def request_or_check(n: int, again: int, whole: bool) -> Request:  # noqa: FBT001
            return request(n, again, whole) if n < len(calls) else checks[n - len(calls)].request

        replies = await self._insist(len(calls) + len(checks), request_or_check, together=True)
        for check, reply in zip(checks, replies[len(calls) :], strict=True):
            check.refuse(reply, self.shown)
        return replies[: len(calls)]

    async def _insist(
        self,
        number: int,
        request: Asking,
        *,
        together: bool = False,
        partly: bool = False,
    ) -> list[Reply]:
        """Return an answer to each of some requests, asked for again while that may help.

        With `together` all are asked for again even if some were answered: what is to be safe is
        what went over the same connection. With `partly` an error stands for what did not come.
        """
        if not number:
            return []
        if not self._is_open:
            await self.open()
        ends = monotonic() + self._timeout
        answers: list[Reply] = []
        trouble: Exception | None = None
        # not by `_ask`: what is answered at once, as most is, need not be put in places
        try:
            first = _First(request, number) if number > 1 else [request(0, 0, False)]  # noqa: FBT003
            await self._wire.exchange(first, answers)
        except (RedisError, OSError) as error:
            trouble = error
        if trouble is not None or _has_errors(answers):
            replies, answers = answers, [MISSING] * number
            trouble = _put_in(replies, range(number), answers, trouble)
            try:
                await self._ask_again(trouble, request, answers, together=together, ends=ends)
            except QcoreError as why:
                if not partly:
                    raise
                answers = [why if answer is MISSING else answer for answer in answers]
        if self._time.is_old:
            # what was asked for is answered: it need not fail for the time of day
            with suppress(BrokerUnavailable):
                await self.open()
        return answers

    async def _ask_again(
        self,
        error: Exception | None,
        request: Asking,
        answers: list[Reply],
        *,
        together: bool,
        ends: float,
    ) -> None:
        """Ask for what was not answered until it is, or until it is no use any more."""
        whole, again, failures = False, 0, 0
        while error is not None:
            if isinstance(error, NoScriptError) and not whole:
                whole = True
            else:
                pause = max(LEAST_PAUSE, CURVE(failures, SystemRandom().random()))
                if not is_transient(error, self.shown) or monotonic() + pause > ends:
                    raise mapped(error, self.shown) from error
                whole, again, failures = False, 1, failures + 1
                await self._wire.pause(pause)
            if together:
                answers[:] = [MISSING] * len(answers)
            missing = [n for n, answer in enumerate(answers) if answer is MISSING]
            error = await self._ask([request(n, again, whole) for n in missing], missing, answers)

    async def _ask(
        self, requests: Sequence[Request], places: Sequence[int], answers: list[Reply]
    ) -> Exception | None:
        """Put answers into their places; return an error if not all came."""
        replies: list[Reply | Exception] = []
        trouble: Exception | None = None
        try:
            await self._wire.exchange(requests, replies)
        except (RedisError, OSError) as error:
            trouble = error
        return _put_in(replies, places, answers, trouble)


class _First:
    """Requests, each made when it is sent: Redis begins with one while others are made."""

    def __init__(self, request: Asking, number: int) -> None:
        self._request = request
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Request]:
        return (self._request(n, 0, False) for n in range(self._number))  # noqa: FBT003


def _has_errors(answers: Sequence[Reply | Exception]) -> bool:
    for answer in answers:  # noqa: SIM110  (a generator takes three times as long)
        if isinstance(answer, Exception):
            return True
    return False


def _put_in(
    replies: Sequence[Reply | Exception],
    places: Sequence[int],
    answers: list[Reply],
    trouble: Exception | None,
) -> Exception | None:
    """Put replies that are answers into their places; return why the others are none."""
    for n, reply in zip(places, replies, strict=False):
        if not isinstance(reply, Exception):
            answers[n] = reply
        elif trouble is None or isinstance(trouble, NoScriptError):
            trouble = reply
    return trouble
