import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, TypeAlias, get_args

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker, TracedBroker
from qcore.domain.answers import Conflict, Enqueued
from qcore.domain.errors import BrokerUnavailable, InvalidOption
from qcore.domain.events import BrokerCalled
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.ports import (
    MAX_CALL_TIMES,
    Aggregating,
    Broker,
    Capability,
    Limiting,
    Periodic,
    Recording,
    Verb,
    WorkerRegistry,
)
from qcore.testing import FaultyBroker
from qcore.testing.builders import LEASE, NOW, a_demand, a_lease, a_task

Call: TypeAlias = Callable[[], Awaitable[Any]]

PORTS = {
    name: port
    for port in (Broker, Limiting, Aggregating, Periodic, Recording, WorkerRegistry)
    for protocol in port.__mro__
    if getattr(protocol, "_is_protocol", False)
    for name in vars(protocol)
    if not name.startswith("_")
}
"""Each member of the port and of what is optional there, and which protocol has it."""
MEMBERS = sorted(PORTS)
SILENT = {"open", "close", "announce", "withdraw"}
"""Verbs without an answer."""
VERBS = [name for name in MEMBERS if inspect.iscoroutinefunction(getattr(PORTS[name], name))]


class Echo:
    """A broker that answers each verb with what it was asked."""

    capabilities = frozenset(Capability)

    def __init__(self, colour: str = "awaits") -> None:
        self.colour = colour
        self.asked: list[object] = []

    def blocking(self) -> "Echo":
        return Echo("blocks")

    def time(self) -> Moment:
        return NOW if self.colour == "awaits" else NOW + 1

    def __getattr__(self, verb: str) -> Callable[..., object]:
        async def answer(*args: object, **kwargs: object) -> object:
            self.asked.append((verb, args, kwargs))
            return self, verb

        return answer


def arguments_of(verb: str) -> tuple[list[str], dict[str, str]]:
    """Return arguments for a verb, each its own name, passed as the port says."""
    parameters = list(inspect.signature(getattr(PORTS[verb], verb)).parameters.values())[1:]
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return positional, {p.name: p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_the_port_has_the_verbs_that_these_tests_look_for() -> None:
    """The introspection below sees the whole port, not an empty one."""
    assert {"open", "enqueue", "claim", "settle", "execute", "subscribe"} <= set(VERBS)
    assert set(MEMBERS) - set(VERBS) == {"blocking", "capabilities"}


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_of_the_port_is_forwarded(name: str) -> None:
    """The wrapper defines each member itself, with the signature that the port declares."""
    assert name in vars(ForwardingBroker)
    ours, ports = getattr(ForwardingBroker, name), getattr(PORTS[name], name)
    if callable(ours) and name != "blocking":
        assert inspect.signature(ours, eval_str=True) == inspect.signature(ports, eval_str=True)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_passes_on_what_it_is_given_and_what_it_gets(verb: str) -> None:
    """Arguments go in unchanged, and the inner broker's answer comes out unless there is none."""
    inner = Echo()
    args, kwargs = arguments_of(verb)
    answer = await getattr(ForwardingBroker(inner), verb)(*args, **kwargs)
    assert inner.asked == [(verb, tuple(args), kwargs)]
    assert answer == (None if verb in SILENT else (inner, verb))
    assert set(VERBS) == set(get_args(Verb))


class Bare(Echo):
    """A broker that can do nothing beyond the port."""

    capabilities = frozenset()


@pytest.mark.parametrize(
    ("verb", "capability"),
    [
        *((verb, "LIMITS") for verb in ("set_limit", "limits", "limited_queues")),
        *((verb, "GROUPS") for verb in ("groups", "members", "aggregate")),
        *((verb, "PERIODIC") for verb in ("write_entries", "entries", "due_entries")),
        *((verb, "PERIODIC") for verb in ("browse_entries", "entry_queues")),
        ("statistics", "STATISTICS"),
        *((verb, "WORKERS") for verb in ("announce", "withdraw", "workers")),
    ],
)
async def test_what_the_inner_broker_cannot_do_is_refused_by_name(
    verb: str, capability: str
) -> None:
    """Its capabilities are asked, whatever methods its class happens to have."""
    args, kwargs = arguments_of(verb)
    with pytest.raises(InvalidOption, match=rf"no Capability\.{capability}"):
        await getattr(ForwardingBroker(Bare()), verb)(*args, **kwargs)


class Around(ForwardingBroker):
    """A wrapper that notes every call, and answers in the place of the inner broker."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.calls: list[tuple[Verb, dict[str, object]]] = []

    async def around(self, verb: Verb, call: Call, /, **arguments: object) -> Any:
        self.calls.append((verb, arguments))
        return "around", await super().around(verb, call, **arguments)


@pytest.mark.parametrize("verb", VERBS)
async def test_every_call_goes_through_one_method(verb: str) -> None:
    """It is given the verb, and what the verb was given by the names of the port."""
    wrapper = Around(Echo())
    args, kwargs = arguments_of(verb)
    answer = await getattr(wrapper, verb)(*args, **kwargs)
    assert wrapper.calls == [(verb, {name: name for name in (*args, *kwargs)})]
    assert answer == (None if verb in SILENT else ("around", (wrapper.inner, verb)))


def test_capabilities_are_those_of_the_inner_broker() -> None:
    """A wrapper can do what it wraps."""
    assert ForwardingBroker(Echo()).capabilities == frozenset(Capability)
    assert ForwardingBroker(MemoryBroker()).capabilities == MemoryBroker.capabilities


def test_time_is_that_of_the_inner_broker() -> None:
    """A wrapper of a broker with a clock has it too, in either colour; of another it has none."""
    wrapper = ForwardingBroker(Echo())
    assert (wrapper.time(), wrapper.blocking().time()) == (NOW, NOW + 1)
    assert Capability.TIME not in ForwardingBroker(MemoryBroker()).capabilities
    with pytest.raises(InvalidOption, match=r"no Capability\.TIME"):
        ForwardingBroker(MemoryBroker()).time()


def test_what_claims_have_ended_is_told_by_the_inner_broker_if_it_can() -> None:
    """Its capabilities are asked for that, too."""
    assert ForwardingBroker(MemoryBroker()).take_ended() == ()
    with pytest.raises(InvalidOption, match=r"no Capability\.CLAIM_ENDINGS"):
        ForwardingBroker(Bare()).take_ended()


class Counting(ForwardingBroker):
    """A wrapper with a setting, and with something that it changes."""

    def __init__(self, inner: Broker, label: str) -> None:
        super().__init__(inner)
        self.label = label
        self.seen: Counter[str] = Counter()

    async def enqueue(
        self, tasks: Sequence[NewTask], *, now: Moment
    ) -> Sequence[Enqueued | Conflict]:
        self.seen["enqueue"] += len(tasks)
        return await super().enqueue(tasks, now=now)


def test_blocking_wraps_the_inner_brokers_twin() -> None:
    """The twin is of the same class, has the same settings, and forwards to the blocking broker."""
    wrapper = Counting(Echo(), "mine")
    twin = wrapper.blocking()
    assert type(twin) is Counting
    assert twin.label == "mine"
    assert (wrapper.inner.colour, twin.inner.colour) == ("awaits", "blocks")


async def test_both_colours_share_what_the_wrapper_changes() -> None:
    """What the blocking twin counts, the awaiting wrapper sees, and the other way round."""
    wrapper = Counting(Echo(), "mine")
    twin = wrapper.blocking()
    await wrapper.enqueue([a_task()], now=NOW)
    await twin.enqueue([a_task(), a_task()], now=NOW)
    assert wrapper.seen == twin.seen == {"enqueue": 3}


def test_a_wrapper_of_a_broker_that_never_suspends_is_its_own_twin() -> None:
    """Where there is one link for both colours, there is one wrapper: its close is the only one."""
    wrapper = Counting(MemoryBroker(), "mine")
    assert wrapper.blocking() is wrapper


async def test_wrappers_nest() -> None:
    """A wrapper of a wrapper of a broker stores a task in that broker, in either colour."""
    memory = MemoryBroker()
    nested = Counting(Counting(memory, "inner"), "outer")
    await nested.enqueue([a_task(id="a")], now=NOW)
    await nested.blocking().enqueue([a_task(id="b")], now=NOW)
    stored = await memory.get("default", ["a", "b"])
    assert [task.id for task in stored if task is not None] == ["a", "b"]


class Told:
    """Events, and a timer that moves by a quarter of a second whenever it is read."""

    def __init__(self) -> None:
        self.events: list[BrokerCalled] = []
        self.emit = self.events.append
        self.reads = count()

    def timer(self) -> float:
        """Return how many quarters of a second were read."""
        return next(self.reads) / 4

    def around(self, broker: Broker) -> TracedBroker:
        """Return a broker that tells here of each of its calls."""
        return TracedBroker(broker, self.emit, timer=self.timer)


@pytest.mark.parametrize("verb", VERBS)
async def test_every_call_of_a_traced_broker_is_told_of(verb: str) -> None:
    """With its name, and how long it took."""
    told = Told()
    args, kwargs = arguments_of(verb)
    await getattr(told.around(Echo()), verb)(*args, **kwargs)
    assert [(event.verb, event.seconds, event.error) for event in told.events] == [
        (verb, 0.25, None)
    ]


async def test_times_of_the_calls_that_come_with_each_task_are_told_without_events() -> None:
    """In lists, of either colour, until these are full; what goes wrong is an event as ever."""
    told, times = Told(), {verb: list[float]() for verb in ("enqueue", "claim", "settle")}

    class Times:
        call_times = times.__getitem__

        def __call__(self, event: BrokerCalled) -> None:
            told.emit(event)

    faulty = FaultyBroker(MemoryBroker())
    broker = TracedBroker(faulty, Times(), timer=told.timer)

    async def call(id_: str) -> None:
        await broker.enqueue([a_task(id=id_)], now=NOW)
        [claim] = await broker.claim(a_demand(1), now=NOW, until=NOW + LEASE)
        await broker.settle([Verdict(claim.lease, Succeeded())], now=NOW)

    await call("1")
    await broker.count()
    assert times == {"enqueue": [0.25], "claim": [0.25], "settle": [0.25]}
    assert told.events == [BrokerCalled("count", 0.25)]
    for each in times.values():
        each[:] = [0.25] * MAX_CALL_TIMES
    await call("2")
    assert {len(each) for each in times.values()} == {MAX_CALL_TIMES}
    assert [(event.verb, event.tasks) for event in told.events[1:]] == [
        ("enqueue", 1),
        ("claim", 1),
        ("settle", 1),
    ]
    times["enqueue"].clear()
    await broker.blocking().enqueue([a_task(id="3")], now=NOW)
    faulty.fail("enqueue", error=(lost := BrokerUnavailable("away")))
    with pytest.raises(BrokerUnavailable, match="away"):
        await broker.enqueue([a_task(id="4")], now=NOW)
    assert times["enqueue"] == [0.25]
    assert told.events[-1] == BrokerCalled("enqueue", 0.25, 1, lost)


async def test_a_traced_call_says_how_many_tasks_it_was_about() -> None:
    """Those it was given, or those that it gave; in either colour."""
    told = Told()
    broker = told.around(MemoryBroker())
    await broker.enqueue([a_task(id=name) for name in "abc"], now=NOW)
    claims = await broker.claim(a_demand(2), now=NOW, until=NOW + LEASE)
    leases = [claim.lease for claim in claims]
    await broker.extend(leases, until=NOW + LEASE)
    await broker.settle([Verdict(lease, Succeeded()) for lease in leases[:1]], now=NOW)
    await broker.blocking().browse("default", State.ACTIVE, 10)
    await broker.get("default", ["a", "b", "c"])
    await broker.sweep(["default"], 10, now=NOW + LEASE)
    await broker.count()
    assert [(event.verb, event.tasks) for event in told.events] == [
        ("enqueue", 3),
        ("claim", 2),
        ("extend", 2),
        ("settle", 1),
        ("browse", 1),
        ("get", 3),
        ("sweep", 1),
        ("count", 0),
    ]


async def test_a_traced_call_that_fails_is_told_of_and_raises() -> None:
    """With what went wrong, and how many tasks it had been given."""
    told, faulty = Told(), FaultyBroker(MemoryBroker())
    broker = told.around(faulty)
    faulty.fail("enqueue", error=(lost := BrokerUnavailable("away")))
    with pytest.raises(BrokerUnavailable, match="away"):
        await broker.enqueue([a_task(), a_task()], now=NOW)
    faulty.fail("claim", error=lost)
    faulty.fail("settle", error=lost)
    with pytest.raises(BrokerUnavailable, match="away"):
        await broker.claim(a_demand(2), now=NOW, until=NOW + LEASE)
    with pytest.raises(BrokerUnavailable, match="away"):
        await broker.settle([Verdict(a_lease(), Succeeded())], now=NOW)
    assert told.events == [
        BrokerCalled("enqueue", 0.25, 2, lost),
        BrokerCalled("claim", 0.25, 0, lost),
        BrokerCalled("settle", 0.25, 1, lost),
    ]
