import inspect
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import Conflict, Enqueued
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_task

MEMBERS = sorted(
    name
    for protocol in Broker.__mro__
    if getattr(protocol, "_is_protocol", False)
    for name in vars(protocol)
    if not name.startswith("_")
)
VERBS = [name for name in MEMBERS if inspect.iscoroutinefunction(getattr(Broker, name))]


class Echo:
    """A broker that answers each verb with what it was asked."""

    capabilities = frozenset({Capability.DURABLE, Capability.TIME})

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
    parameters = list(inspect.signature(getattr(Broker, verb)).parameters.values())[1:]
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
    ours, ports = getattr(ForwardingBroker, name), getattr(Broker, name)
    if callable(ours) and name != "blocking":
        assert inspect.signature(ours, eval_str=True) == inspect.signature(ports, eval_str=True)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_passes_on_what_it_is_given_and_what_it_gets(verb: str) -> None:
    """Arguments go in unchanged, and the inner broker's answer comes out unless there is none."""
    inner = Echo()
    args, kwargs = arguments_of(verb)
    answer = await getattr(ForwardingBroker(inner), verb)(*args, **kwargs)
    assert inner.asked == [(verb, tuple(args), kwargs)]
    assert answer == (None if verb in {"open", "close"} else (inner, verb))


def test_capabilities_are_those_of_the_inner_broker() -> None:
    """A wrapper can do what it wraps."""
    assert ForwardingBroker(Echo()).capabilities == {Capability.DURABLE, Capability.TIME}


def test_time_is_that_of_the_inner_broker() -> None:
    """A wrapper of a broker with a clock has it too, in either colour; of another it has none."""
    wrapper = ForwardingBroker(Echo())
    assert (wrapper.time(), wrapper.blocking().time()) == (NOW, NOW + 1)
    assert Capability.TIME not in ForwardingBroker(MemoryBroker()).capabilities
    with pytest.raises(AttributeError, match="time"):
        ForwardingBroker(MemoryBroker()).time()


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
