"""A broker that is unwell when you say so."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Literal, Self, TypeAlias, TypeVar, get_args

from attrs import field

from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import Admission, LeaseLost, Missing, Moved, NotAllowed, Settled, Swept
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.groups import Group, Stale
from qcore.domain.lifecycle import Command, State
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.queue_limits import LimitChange, Limits
from qcore.domain.record import record
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Claim, Demand, Lease, Task, Verdict
from qcore.ports import Broker, Clock, Counts, Kinds, Notify, Page, Subscription

T = TypeVar("T")

Verb: TypeAlias = Literal[
    "open",
    "close",
    "enqueue",
    "claim",
    "settle",
    "extend",
    "save_details",
    "sweep",
    "next_due",
    "subscribe",
    "get",
    "browse",
    "details",
    "count",
    "execute",
    "set_limit",
    "limits",
    "groups",
    "members",
    "aggregate",
]
"""What can go wrong: every awaited verb of the port."""

_VERBS = frozenset(get_args(Verb))


@record
class Call:
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
class _Duplicate:
    pass


_Fault: TypeAlias = _Fail | _DropReply | _Delay | _Duplicate


class _Script:
    """What is to go wrong, and what was called; one for both colours of a broker."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
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
    def calls(self) -> Sequence[Call]:
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
        self._script.add(verb, _Duplicate(), times)

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

    async def _do(self, verb: Verb, work: Callable[[], Awaitable[T]], **arguments: object) -> T:
        """Do the work as the script says."""
        self._script.calls.append(Call(verb, arguments))
        if self._script.downs and verb != "close":
            raise _unavailable("the broker is down")
        match self._script.next(verb):
            case _Fail(error):
                raise error
            case _DropReply(error):
                await work()
                raise error
            case _Delay(seconds, clock):
                clock = clock.blocking() if self._is_blocking else clock
                await clock.sleep_until(clock.now() + seconds)
            case _Duplicate():
                await work()
            case None:
                pass
        return await work()

    async def open(self) -> None:
        await self._do("open", self.inner.open)

    async def close(self) -> None:
        # whoever asked for the twin closes it, and must not close the store of the other colour
        await self._do("close", _do_nothing if self._is_shared else self.inner.close)

    async def enqueue(self, tasks: Sequence[NewTask], *, now: Moment) -> Sequence[Admission]:
        work = partial(self.inner.enqueue, tasks, now=now)
        return await self._do("enqueue", work, tasks=tasks, now=now)

    async def claim(self, demand: Demand, *, now: Moment, until: Moment) -> Sequence[Claim]:
        work = partial(self.inner.claim, demand, now=now, until=until)
        return await self._do("claim", work, demand=demand, now=now, until=until)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        work = partial(self.inner.settle, verdicts, now=now)
        return await self._do("settle", work, verdicts=verdicts, now=now)

    async def extend(
        self, leases: Sequence[Lease], *, now: Moment, until: Moment
    ) -> Sequence[Lease | LeaseLost]:
        work = partial(self.inner.extend, leases, now=now, until=until)
        return await self._do("extend", work, leases=leases, now=now, until=until)

    async def save_details(
        self, notes: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        work = partial(self.inner.save_details, notes)
        return await self._do("save_details", work, notes=notes)

    async def sweep(self, queues: Sequence[str], limit: int, *, now: Moment) -> Swept:
        work = partial(self.inner.sweep, queues, limit, now=now)
        return await self._do("sweep", work, queues=queues, limit=limit, now=now)

    async def next_due(self, queues: Sequence[str]) -> Moment | None:
        return await self._do("next_due", partial(self.inner.next_due, queues), queues=queues)

    async def subscribe(self, queues: Sequence[str], kinds: Kinds, notify: Notify) -> Subscription:
        work = partial(self.inner.subscribe, queues, kinds, notify)
        return await self._do("subscribe", work, queues=queues, kinds=kinds, notify=notify)

    async def set_limit(self, queue: str, rule: LimitChange, *, now: Moment) -> Limits:
        work = partial(super().set_limit, queue, rule, now=now)
        return await self._do("set_limit", work, queue=queue, rule=rule, now=now)

    async def limits(self, queues: Sequence[str]) -> Sequence[Limits]:
        return await self._do("limits", partial(super().limits, queues), queues=queues)

    async def groups(self, queue: str, limit: int, *, after: str = "") -> Sequence[Group]:
        work = partial(super().groups, queue, limit, after=after)
        return await self._do("groups", work, queue=queue, limit=limit, after=after)

    async def members(self, queue: str, group: str, limit: int) -> Sequence[Task]:
        work = partial(super().members, queue, group, limit)
        return await self._do("members", work, queue=queue, group=group, limit=limit)

    async def aggregate(
        self, queue: str, group: str, ids: Sequence[TaskId], task: NewTask, *, now: Moment
    ) -> Admission | Stale:
        work = partial(super().aggregate, queue, group, ids, task, now=now)
        return await self._do(
            "aggregate", work, queue=queue, group=group, ids=ids, task=task, now=now
        )

    async def get(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Task | None]:
        return await self._do("get", partial(self.inner.get, queue, ids), queue=queue, ids=ids)

    async def browse(
        self, queue: str, state: State, limit: int, *, cursor: str | None = None
    ) -> Page:
        work = partial(self.inner.browse, queue, state, limit, cursor=cursor)
        return await self._do("browse", work, queue=queue, state=state, limit=limit, cursor=cursor)

    async def details(self, queue: str, ids: Sequence[TaskId]) -> Sequence[Details | None]:
        work = partial(self.inner.details, queue, ids)
        return await self._do("details", work, queue=queue, ids=ids)

    async def count(self) -> Counts:
        return await self._do("count", self.inner.count)

    async def execute(
        self, queue: str, ids: Sequence[TaskId], order: Command, *, now: Moment
    ) -> Sequence[Moved | NotAllowed | Missing]:
        work = partial(self.inner.execute, queue, ids, order, now=now)
        return await self._do("execute", work, queue=queue, ids=ids, order=order, now=now)


async def _do_nothing() -> None:
    pass


def _unavailable(what: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"{what}, as the test asked for")
