"""A broker around a broker that tells instruments of each call."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from time import perf_counter
from typing import Final, TypeVar

from qcore.adapters.wrappers.forwarding import ForwardingBroker
from qcore.domain.answers import Admission, LeaseLost, Settled, Swept
from qcore.domain.events import BrokerCalled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.ports import MAX_CALL_TIMES, Broker, Page, Verb

T = TypeVar("T")

GIVEN: Final[Mapping[Verb, str]] = {
    "extend": "leases",
    "save_details": "updates",
    "get": "ids",
    "details": "ids",
    "execute": "ids",
    "restore": "snapshots",
    "aggregate": "ids",
}
"""The argument of a verb that has an item for each task, where it goes through `around`."""
ANSWERED: Final[frozenset[Verb]] = frozenset({"members"})
"""The verbs whose answer has an item for each task."""


class TracedBroker(ForwardingBroker):
    """Tell of each call when it has ended, as a `BrokerCalled`; in either colour.

    Calls that come with each task do not go through `around`, and their times are appended to the
    lists that `emit` has for them, if it has a method `call_times` as an `Instrument` may.
    """

    def __init__(
        self,
        inner: Broker,
        emit: Callable[[BrokerCalled], None],
        *,
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(inner)
        self._emit = emit
        self._timer = timer
        times_of: Callable[[str], list[float] | None] = getattr(emit, "call_times", _no_list)
        self._enqueues = times_of("enqueue")
        self._claims = times_of("claim")
        self._settles = times_of("settle")

    async def around(
        self, verb: Verb, call: Callable[[], Awaitable[T]], /, **arguments: object
    ) -> T:
        began = self._timer()
        try:
            answer = await call()
        except BaseException as error:
            seconds = self._timer() - began
            self._emit(BrokerCalled(verb, seconds, _tasks_in(verb, arguments, None), error))
            raise
        seconds = self._timer() - began
        self._emit(BrokerCalled(verb, seconds, _tasks_in(verb, arguments, answer)))
        return answer

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        times, began = self._enqueues, self._timer()
        try:
            answers = await self.inner.enqueue(tasks, now=now)
        except BaseException as error:
            self._emit(BrokerCalled("enqueue", self._timer() - began, len(tasks), error))
            raise
        if times is not None and len(times) < MAX_CALL_TIMES:
            times.append(self._timer() - began)
        else:
            self._emit(BrokerCalled("enqueue", self._timer() - began, len(tasks)))
        return answers

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        times, began = self._claims, self._timer()
        try:
            claims = await self.inner.claim(demand, now=now, until=until)
        except BaseException as error:
            self._emit(BrokerCalled("claim", self._timer() - began, 0, error))
            raise
        if times is not None and len(times) < MAX_CALL_TIMES:
            times.append(self._timer() - began)
        else:
            self._emit(BrokerCalled("claim", self._timer() - began, len(claims)))
        return claims

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        times, began = self._settles, self._timer()
        try:
            answers = await self.inner.settle(verdicts, now=now)
        except BaseException as error:
            self._emit(BrokerCalled("settle", self._timer() - began, len(verdicts), error))
            raise
        if times is not None and len(times) < MAX_CALL_TIMES:
            times.append(self._timer() - began)
        else:
            self._emit(BrokerCalled("settle", self._timer() - began, len(verdicts)))
        return answers


def _no_list(_: str) -> None:
    """Have events be sent of calls of all verbs."""


def _tasks_in(verb: Verb, arguments: Mapping[str, object], answer: object) -> int:
    """Return how many tasks a call was about: those given, or else those in the answer."""
    about = arguments[GIVEN[verb]] if verb in GIVEN else answer
    match about:
        case Page(tasks):
            return len(tasks)
        case Swept(crashed, expired, trimmed):
            return crashed + expired + trimmed
        case Sized() if verb in GIVEN or verb in ANSWERED:
            return len(about)
        case _:
            return 0
