"""A broker around a broker that tells instruments of each call."""

from collections.abc import Awaitable, Callable, Mapping, Sized
from time import perf_counter
from typing import Final, TypeVar, cast

from qcore.adapters.wrappers.forwarding import ForwardingBroker
from qcore.domain.answers import Swept
from qcore.domain.events import BrokerCalled
from qcore.ports import Broker, Page, Verb

T = TypeVar("T")

GIVEN: Final[Mapping[Verb, str]] = {
    "enqueue": "tasks",
    "settle": "verdicts",
    "extend": "leases",
    "save_details": "updates",
    "get": "ids",
    "details": "ids",
    "execute": "ids",
    "restore": "snapshots",
    "aggregate": "ids",
}
"""The argument of a verb that has an item for each task."""
ANSWERED: Final[frozenset[Verb]] = frozenset({"claim", "members"})
"""The verbs whose answer has an item for each task."""

LISTED: Final[frozenset[type]] = frozenset({list, tuple})


class TracedBroker(ForwardingBroker):
    """Tell of each call when it has ended, as a `BrokerCalled`; in either colour."""

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


def _tasks_in(verb: Verb, arguments: Mapping[str, object], answer: object) -> int:
    """Return how many tasks a call was about: those given, or else those in the answer."""
    about = arguments[GIVEN[verb]] if verb in GIVEN else answer
    if type(about) in LISTED and (verb in GIVEN or verb in ANSWERED):
        # as most are: what else has a length takes longer to find
        return len(cast("Sized", about))
    match about:
        case Page(tasks):
            return len(tasks)
        case Swept(crashed, expired, trimmed):
            return crashed + expired + trimmed
        case Sized() if verb in GIVEN or verb in ANSWERED:
            return len(about)
        case _:
            return 0
