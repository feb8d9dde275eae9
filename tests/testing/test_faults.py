import inspect
from collections.abc import Coroutine
from typing import Any, get_args

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import Conflict, Enqueued, LeaseLost, Settled
from qcore.domain.errors import BrokerUnavailable, BrokerUnusable, InvalidOption
from qcore.domain.queue_limits import SetInFlight
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.states import State
from qcore.domain.statistics import Resolution
from qcore.domain.task import Verdict
from qcore.domain.transitions import RunNow, Succeeded
from qcore.ports import (
    Aggregating,
    Broker,
    Limiting,
    Periodic,
    Recording,
    WorkAvailable,
    WorkerRegistry,
)
from qcore.testing.builders import LEASE, NOW, a_demand, a_stored_task, a_task, a_worker
from qcore.testing.clock import ManualClock
from qcore.testing.faults import FaultyBroker, Verb

UNTIL = NOW + LEASE

ARGUMENTS: dict[Verb, dict[str, Any]] = {
    "open": {},
    "close": {},
    "enqueue": {"tasks": [a_task()], "now": NOW},
    "claim": {"demand": a_demand(), "now": NOW, "until": UNTIL},
    "settle": {"verdicts": [], "now": NOW},
    "extend": {"leases": [], "until": UNTIL},
    "sweep": {"queues": ["default"], "limit": 10, "now": NOW},
    "next_due": {"queues": ["default"]},
    "subscribe": {"queues": ["default"], "kinds": {WorkAvailable}, "notify": lambda _: None},
    "get": {"queue": "default", "ids": ["a"]},
    "browse": {"queue": "default", "state": State.PENDING, "limit": 10, "cursor": None},
    "count": {},
    "execute": {"queue": "default", "ids": ["a"], "command": RunNow(), "now": NOW},
    "ready_since": {"queues": ["default"], "now": NOW},
    "restore": {"snapshots": [TaskSnapshot(a_stored_task())], "now": NOW, "over": None},
    "remove_queue": {"queue": "default", "now": NOW},
    "save_details": {"updates": []},
    "details": {"queue": "default", "ids": ["a"]},
    "set_limit": {"queue": "default", "change": SetInFlight(3), "now": NOW},
    "limits": {"queues": ["default"]},
    "limited_queues": {},
    "groups": {"queue": "default", "limit": 10, "after": ""},
    "members": {"queue": "default", "group": "g", "limit": 10},
    "aggregate": {"queue": "default", "group": "g", "ids": ["a"], "task": a_task(), "now": NOW},
    "write_entries": {"changes": [], "now": NOW},
    "entries": {"queue": "default", "ids": ["a"]},
    "browse_entries": {"queue": "default", "limit": 10, "after": ""},
    "entry_queues": {},
    "due_entries": {"queues": ["default"], "limit": 10, "now": NOW},
    "announce": {"info": a_worker()},
    "withdraw": {"worker": "w"},
    "workers": {"now": NOW},
    "statistics": {
        "queues": ["default"],
        "since": NOW,
        "until": NOW + 60,
        "resolution": Resolution.MINUTE,
    },
}

for_every_verb = pytest.mark.parametrize("verb", list(ARGUMENTS))


@pytest.fixture
def memory() -> MemoryBroker:
    """Return the broker beneath the faults."""
    return MemoryBroker()


@pytest.fixture
def faulty(memory: MemoryBroker) -> FaultyBroker:
    """Return a broker with an empty script."""
    return FaultyBroker(memory)


async def call(broker: Broker, verb: Verb) -> object:
    """Call a verb with its arguments."""
    return await getattr(broker, verb)(**ARGUMENTS[verb])


def step(coroutine: Coroutine[object, None, object]) -> object:
    """Return what a coroutine returns that must not suspend."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


def test_the_verbs_are_those_of_the_port() -> None:
    """Every awaited verb of the port can go wrong, and is tried below."""
    verbs = {
        name
        for port in (Broker, Limiting, Aggregating, Periodic, Recording, WorkerRegistry)
        for name in dir(port)
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(port, name))
    }
    assert verbs == set(get_args(Verb)) == set(ARGUMENTS)


@for_every_verb
async def test_without_a_script_every_call_goes_through(faulty: FaultyBroker, verb: Verb) -> None:
    """The broker answers as the inner one does, and the call is recorded with its arguments."""
    answer = await call(faulty, verb)
    expected = await call(MemoryBroker(), verb)
    assert type(answer) is type(expected)
    assert verb == "subscribe" or answer == expected
    assert [(made.verb, made.arguments) for made in faulty.calls] == [(verb, ARGUMENTS[verb])]


@for_every_verb
async def test_any_verb_can_fail(faulty: FaultyBroker, verb: Verb) -> None:
    """The scripted calls of a verb fail, then it is well again."""
    faulty.fail(verb, times=2)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match=verb):
            await call(faulty, verb)
    await call(faulty, verb)
    assert [made.verb for made in faulty.calls] == [verb] * 3


async def test_a_call_that_fails_has_done_nothing(
    faulty: FaultyBroker, memory: MemoryBroker
) -> None:
    """A request that was lost did not reach the store."""
    faulty.fail("enqueue")
    with pytest.raises(BrokerUnavailable):
        await faulty.enqueue([a_task()], now=NOW)
    assert await memory.count() == {}


async def test_the_other_verbs_are_well(faulty: FaultyBroker) -> None:
    """A fault is for its own verb alone."""
    faulty.fail("settle")
    assert await faulty.count() == {}


async def test_a_fault_may_have_an_error_of_ones_own(faulty: FaultyBroker) -> None:
    """The error that is given is the one that is raised, before or after the work."""
    faulty.fail("count", error=BrokerUnusable("read-only"))
    faulty.drop_reply("count", error=BrokerUnusable("disk full"))
    for text in ("read-only", "disk full"):
        with pytest.raises(BrokerUnusable, match=text):
            await faulty.count()


async def test_a_dropped_reply_comes_after_the_work(
    faulty: FaultyBroker, memory: MemoryBroker
) -> None:
    """The caller sees an error, and the store has the task."""
    faulty.drop_reply("enqueue")
    with pytest.raises(BrokerUnavailable, match="reply to enqueue"):
        await faulty.enqueue([a_task(id="a")], now=NOW)
    assert await memory.count() == {"default": {State.PENDING: 1}}


async def test_a_duplicated_enqueue_conflicts_with_itself(faulty: FaultyBroker) -> None:
    """The work is done twice, and the second answer is the one that is given."""
    faulty.duplicate("enqueue")
    assert await faulty.enqueue([a_task(id="a")], now=NOW) == [Conflict("a", State.PENDING)]
    assert await faulty.enqueue([a_task(id="b")], now=NOW) == [Enqueued("b", State.PENDING)]


async def test_a_duplicated_claim_leases_to_nobody(
    faulty: FaultyBroker, memory: MemoryBroker
) -> None:
    """What was claimed first is active, and the caller has only what was claimed second."""
    await memory.enqueue([a_task(id="a"), a_task(id="b")], now=NOW)
    faulty.duplicate("claim")
    claims = await faulty.claim(a_demand(1), now=NOW, until=UNTIL)
    assert [claim.task.id for claim in claims] == ["b"]
    assert await memory.count() == {"default": {State.ACTIVE: 2}}


async def test_a_duplicated_verdict_is_late_to_itself(
    faulty: FaultyBroker, memory: MemoryBroker
) -> None:
    """The verdict was written, and its sender is told that the lease was lost."""
    await memory.enqueue([a_task()], now=NOW)
    (claim,) = await faulty.claim(a_demand(1), now=NOW, until=UNTIL)
    faulty.duplicate("settle")
    assert await faulty.settle([Verdict(claim.lease, Succeeded())], now=NOW) == [LeaseLost()]
    assert await memory.count() == {}


async def test_a_delay_passes_before_the_work(faulty: FaultyBroker) -> None:
    """The call sleeps on the clock that is given, and then does its work."""
    clock = ManualClock(autojump=True)
    faulty.delay("count", 0.5, clock)
    assert await faulty.count() == {}
    assert clock.now() == NOW + 0.5


async def test_the_lines_of_a_verb_come_one_after_the_other(faulty: FaultyBroker) -> None:
    """Each call uses up one line, in the order of the script."""
    await faulty.enqueue([a_task()], now=NOW)
    (claim,) = await faulty.claim(a_demand(1), now=NOW, until=UNTIL)
    faulty.fail("settle")
    faulty.drop_reply("settle")
    verdicts = [Verdict(claim.lease, Succeeded())]
    for what in ("settle was lost", "the reply to settle was lost"):
        with pytest.raises(BrokerUnavailable, match=f"^{what}"):
            await faulty.settle(verdicts, now=NOW)
    assert await faulty.settle(verdicts, now=NOW) == [LeaseLost()]


@for_every_verb
async def test_while_it_is_down_everything_fails_but_closing(
    faulty: FaultyBroker, verb: Verb
) -> None:
    """Within the block no verb gets through, save that one can always let go."""
    with faulty.down():
        if verb == "close":
            await call(faulty, verb)
        else:
            with pytest.raises(BrokerUnavailable, match="down"):
                await call(faulty, verb)
    await call(faulty, verb)


async def test_being_down_uses_up_no_line(faulty: FaultyBroker) -> None:
    """The script waits for the broker to be up, and blocks within blocks count."""
    faulty.fail("count", error=BrokerUnusable("scripted"))
    with faulty.down():
        with faulty.down(), pytest.raises(BrokerUnavailable):
            await faulty.count()
        with pytest.raises(BrokerUnavailable):
            await faulty.count()
    with pytest.raises(BrokerUnusable):
        await faulty.count()


async def test_both_colours_share_the_script_and_the_calls(faulty: FaultyBroker) -> None:
    """A line goes to whoever calls first, either way round, and both are in the record."""
    twin = faulty.blocking()
    faulty.fail("count")
    with pytest.raises(BrokerUnavailable):
        await twin.count()
    twin.fail("get")
    with pytest.raises(BrokerUnavailable):
        await faulty.get("default", [])
    with faulty.down(), pytest.raises(BrokerUnavailable):
        await twin.count()
    assert [made.verb for made in faulty.calls] == ["count", "get", "count"]
    assert twin.calls is faulty.calls


def test_the_blocking_twin_is_delayed_without_suspending(faulty: FaultyBroker) -> None:
    """A delay on the awaiting clock blocks in the blocking twin, and time has passed."""
    clock = ManualClock()
    faulty.delay("count", 0.5, clock)
    assert step(faulty.blocking().count()) == {}
    assert clock.now() == NOW + 0.5


class Door(MemoryBroker):
    """A store that is its own twin, and that can be closed."""

    is_open = True

    async def close(self) -> None:
        self.is_open = False


async def test_closing_the_twin_leaves_a_shared_store_open() -> None:
    """Over a broker that is its own twin, it is the broker's own close that closes the store."""
    door = Door()
    faulty = FaultyBroker(door)
    await faulty.blocking().close()
    assert door.is_open
    await faulty.close()
    assert not door.is_open


@pytest.mark.parametrize("times", [0, -1])
def test_a_fault_that_never_happens_is_refused(faulty: FaultyBroker, times: int) -> None:
    """A script of no times at all is a mistake, and named as one."""
    with pytest.raises(InvalidOption, match=f"times is {times}"):
        faulty.fail("settle", times=times)


def test_an_unknown_verb_is_refused(faulty: FaultyBroker) -> None:
    """A misspelt verb would never fail, and so its test would prove nothing."""
    verb: Any = "settel"
    with pytest.raises(InvalidOption, match=r"'settel' is no verb .*, settle, statistics, sub"):
        faulty.fail(verb)


async def test_a_settlement_goes_through_unharmed(faulty: FaultyBroker) -> None:
    """The whole life of a task works through a broker without a script."""
    await faulty.enqueue([a_task()], now=NOW)
    (claim,) = await faulty.claim(a_demand(1), now=NOW, until=UNTIL)
    answers = await faulty.settle([Verdict(claim.lease, Succeeded())], now=NOW)
    assert answers == [Settled(State.GONE)]
