"""`FaultyBroker`: a wrapper that fails, delays or loses answers when a test says so."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Self, TypeAlias, TypeVar, get_args

from attrs import field

from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.record import record
from qcore.ports import Broker, Clock, Verb

T = TypeVar("T")

_VERBS = frozenset(get_args(Verb))


@record
class RecordedCall:
    """A call as it was made, whether or not it went well."""

    verb: Verb
    arguments: Mapping[str, object] = field(hash=False)


@record
class _Fail:
    error: Exception


@record
class _DropReply:
    error: Exception


@record
class _Delay:
    seconds: float
    clock: Clock


@record
class _RepeatedCall:
    pass


_Fault: TypeAlias = _Fail | _DropReply | _Delay | _RepeatedCall


class _Script:
    """What is to go wrong, and what was called; one for both colours of a broker."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self.downs: list[None] = []
        self._faults: defaultdict[str, deque[_Fault]] = defaultdict(deque)

    def add(self, verb: Verb, fault: _Fault, times: int) -> None:
        if verb not in _VERBS:
            known = ", ".join(sorted(_VERBS))
            raise InvalidOption(f"{verb!r} is no verb of a broker: expected one of {known}")
        if times < 1:
            raise InvalidOption(f"times is {times!r}: expected 1 or more")
        self._faults[verb].extend([fault] * times)

    def next(self, verb: Verb) -> _Fault | None:
        try:
            return self._faults[verb].popleft()
        except IndexError:
            return None


class FaultyBroker(ForwardingBroker):
    """Do what `inner` does, except where the script says otherwise.

    Each line of the script is for one verb and is used up by its next `times` calls, the lines of
    a verb one after the other; a call without a line goes through. The script and `calls` are
    shared with `blocking()`. A fault's error is `BrokerUnavailable` unless you give another.
    """

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self._script = _Script()
        self._is_blocking = False
        self._is_shared = False

    @property
    def calls(self) -> Sequence[RecordedCall]:
        """Return every call of either colour so far, in order, also those that failed."""
        return self._script.calls

    def fail(self, verb: Verb, times: int = 1, error: Exception | None = None) -> None:
        """Raise before anything is done, as when the request was lost."""
        self._script.add(verb, _Fail(error or _unavailable(f"{verb} was lost")), times)

    def drop_reply(self, verb: Verb, times: int = 1, error: Exception | None = None) -> None:
        """Do the work, then raise, as when the answer was lost."""
        error = error or _unavailable(f"the reply to {verb} was lost")
        self._script.add(verb, _DropReply(error), times)

    def delay(self, verb: Verb, seconds: float, clock: Clock, times: int = 1) -> None:
        """Let `seconds` of `clock` pass before the work is done."""
        self._script.add(verb, _Delay(seconds, clock), times)

    def duplicate(self, verb: Verb, times: int = 1) -> None:
        """Do the work twice and give the second answer.

        So it is when a transport sends a request again whose reply was lost, as clients of Redis
        and HTTP do by themselves: the first answer is never seen. A task enqueued so is a
        `Conflict` with itself, what was claimed first is leased to nobody until the lease runs
        out, and a verdict that was written is answered with `LeaseLost`.
        """
        self._script.add(verb, _RepeatedCall(), times)

    @contextmanager
    def down(self) -> Generator[None]:
        """Fail every call within the block, but for `close`, which needs nobody's answer."""
        self._script.downs.append(None)
        try:
            yield
        finally:
            self._script.downs.pop()

    def blocking(self) -> Self:
        # a twin of its own in any case: a delay has to know its colour
        twin = copy(self)
        twin.inner = self.inner.blocking()
        twin._is_blocking = True  # noqa: SLF001  (it is one of us)
        twin._is_shared = twin.inner is self.inner  # noqa: SLF001  (it is one of us)
        return twin

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[T]], /, **arguments: object
    ) -> T:
        """Do what the script says."""
        self._script.calls.append(RecordedCall(verb, arguments))
        if self._script.downs and verb != "close":
            raise _unavailable("the broker is down")
        match self._script.next(verb):
            case _Fail(error):
                raise error
            case _DropReply(error):
                await call()
                raise error
            case _Delay(seconds, clock):
                clock = clock.blocking() if self._is_blocking else clock
                await clock.sleep(seconds)
            case _RepeatedCall():
                await call()
            case None:
                pass
        return await call()

    async def close(self) -> None:
        # whoever asked for the twin closes it, and must not close the store of the other colour
        await self.around("close", _do_nothing if self._is_shared else self.inner.close)


async def _do_nothing() -> None:
    pass


def _unavailable(what: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"{what}, as the test asked for")
