from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.keys import Key
from qcore.domain.queue_limits import SetInFlight
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import (
    Cancelled,
    Deleted,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    RunNow,
    Snoozed,
    Succeeded,
    Updated,
)
from qcore.errors import BrokerUnusable
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.states import bring_to
from qcore.testing.contract.steps import ids, put, sweep_all, take
from tests.adapters.redis_kit import RedisCases
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

Call: TypeAlias = Callable[[RedisBroker], Awaitable[object]]

QUEUE = "qcore:{default}:"
OURS = [f"{QUEUE}{key.name.lower()}" for key in Key if key is not Key.SESSION]
HASHES = [f"{QUEUE}{name}" for name in ("meta", "tasks", "progress", "unique", "details")]
KINDS: Mapping[str, tuple[str, ...]] = {
    "string": ("SET", "data"),
    "hash": ("HSET", "some", "data"),
    "zset": ("ZADD", "1", "data"),
    "list": ("RPUSH", "data"),
}
"""A command, without its key, that makes a key of a kind."""
STATES = (
    State.AGGREGATING,
    State.SCHEDULED,
    State.RETRY,
    State.COMPLETED,
    State.ARCHIVED,
    State.DEAD,
    State.ACTIVE,
    State.PENDING,
)
ACTIVE = Lease("default", f"of-{State.ACTIVE}", int(NOW * 1e6) + 5, NOW + LEASE)
LATER = NOW + 1_000


def settle(outcome: Any) -> Call:
    """Return the call that settles the active task."""
    return lambda broker: broker.settle([Verdict(ACTIVE, outcome)], now=NOW)


def order(state: State, what: Any) -> Call:
    """Return the call that gives an order for the task of a state."""
    return lambda broker: broker.execute("default", [f"of-{state}"], what, now=NOW)


CALLS: Mapping[str, Call] = {
    "enqueue": lambda broker: put(broker, a_task()),
    "enqueue later": lambda broker: put(broker, a_task(due=LATER)),
    "enqueue what expires": lambda broker: put(broker, a_task(expires=LATER)),
    **{
        f"enqueue what is {state}": lambda broker, state=state: broker.enqueue(
            [a_task(id=f"of-{state}"), a_task(expires=LATER)], now=NOW
        )
        for state in STATES
    },
    "claim": take,
    "claim what is due": lambda broker: take(broker, now=LATER),
    "extend": lambda broker: broker.extend([ACTIVE], until=LATER),
    **{
        f"settle as {type(outcome).__name__}": settle(outcome)
        for outcome in (
            Succeeded(),
            Failed("no", LATER),
            Exhausted("no"),
            Rejected("no"),
            Released(),
            Snoozed(LATER),
        )
    },
    "settle what is followed": settle(Succeeded(then=(a_task(), a_task(queue="other")))),
    "note": lambda broker: broker.save_details([DetailsUpdate(ACTIVE, Progress(NOW, 0.5), b"x")]),
    "details": lambda broker: broker.details("default", [ACTIVE.id]),
    "limit": lambda broker: broker.set_limit("default", SetInFlight(9), now=NOW),
    "limits": lambda broker: broker.limits(["default"]),
    "groups": lambda broker: broker.groups("default", 9),
    "members": lambda broker: broker.members("default", "a group", 9),
    "aggregate": lambda broker: broker.aggregate(
        "default", "a group", [f"of-{State.AGGREGATING}"], a_task(), now=NOW
    ),
    "sweep": lambda broker: sweep_all(broker, now=LATER * 2),
    **{f"run what is {state} now": order(state, RunNow()) for state in STATES},
    **{f"put off what is {state}": order(state, Rescheduled(LATER)) for state in STATES},
    **{f"change what is {state}": order(state, Updated({"priority": 1})) for state in STATES},
    **{f"cancel what is {state}": order(state, Cancelled()) for state in STATES},
    **{f"delete what is {state}": order(state, Deleted()) for state in STATES},
    **{
        f"browse {state}": lambda broker, state=state: broker.browse("default", state, 10)
        for state in STATES
    },
    "get": lambda broker: broker.get("default", [f"of-{state}" for state in STATES]),
    "count": lambda broker: broker.count(),
    "next due": lambda broker: broker.next_due(["default"]),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Give a server of one version: the scripts are the same on all."""
    with RedisServer(SERVERS[0]) as server:
        yield server


class TestForeignData(RedisCases):
    """What is not ours is not touched, and what is ours is not lost because of it."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: RedisServer) -> None:
        server.flush()
        self.server, self.url = server, server.url

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("key", OURS)
    async def test_a_queue_is_not_made_over_it(
        self, broker: RedisBroker, key: str, kind: str
    ) -> None:
        """No task goes in where a key of ours is taken, and the error names the key."""
        self.occupy(key, kind)
        before = self.stored()
        for task in (a_task(), a_task(due=LATER, expires=2 * LATER)):
            with pytest.raises(BrokerUnusable, match=f"foreign data.*{key}.*namespace="):
                await put(broker, task)
        assert self.stored() == before

    @pytest.mark.parametrize("key", OURS)
    async def test_a_queue_that_was_written_over_is_left_alone(
        self, broker: RedisBroker, key: str
    ) -> None:
        """A call that comes upon it changes nothing; any other works, and does not touch it."""
        refused: set[str] = set()
        for name, call in CALLS.items():
            await self.fill(broker)
            self.occupy(key, "list" if key in HASHES else "string")
            before = self.stored()
            error = await raised(broker, call)
            after = self.stored()
            if error is None:
                assert after[key.encode()] == before[key.encode()], name
            else:
                assert f"({key} is a" in error or "holds what is not ours" in error
                assert after == before, name
                refused.add(name)
        assert refused

    async def test_a_registry_that_is_none_is_left_alone(self, broker: RedisBroker) -> None:
        """No queue is made that nobody would know of."""
        self.occupy("qcore:queues", "string")
        before = self.stored()
        for call in (CALLS["enqueue"], CALLS["count"]):
            assert "holds what is not ours" in str(await raised(broker, call))
        assert self.stored() == before

    @pytest.mark.parametrize("version", ["3", "10"])
    async def test_a_queue_that_a_newer_qcore_has_written_is_refused(
        self, broker: RedisBroker, version: str
    ) -> None:
        """Whatever is asked of it: nobody knows what this one would break. Others are served."""
        await self.fill(broker)
        self.server.cli("HSET", f"{QUEUE}meta", "version", version)
        before = self.stored()
        for name, call in CALLS.items():
            error = await raised(broker, call)
            assert error is not None, name
            assert "written by a newer qcore: upgrade this one" in error
            assert error.count(version) > 0
            assert self.stored() == before, name
        await put(broker, other := a_task(queue="other"))
        assert ids(await take(broker, 1, "other")) == [other.id]

    async def test_an_empty_queue_of_a_newer_qcore_is_refused(self, broker: RedisBroker) -> None:
        """A worker that would wait for ever, as its tasks are where it does not look, is told."""
        self.server.cli("HSET", f"{QUEUE}meta", "version", "3")
        for name in ("claim", "sweep", "next due", "get", "enqueue"):
            assert "newer qcore" in str(await raised(broker, CALLS[name]))

    def occupy(self, key: str, kind: str) -> None:
        """Put data of somebody else's under a key."""
        command, *words = KINDS[kind]
        self.server.cli("DEL", key)
        self.server.cli(command, key, *words)

    def stored(self) -> dict[bytes, object]:
        """Return all there is but for lanes, the registry, and the numbers that were given."""
        with self.server.client() as client:
            keys = [key for key in client.scan_iter() if b":session:" not in key]
            found: dict[bytes, object] = {key: client.dump(key) for key in keys}
            meta = f"{QUEUE}meta".encode()
            if client.type(meta) == b"hash":
                found[meta] = client.hget(meta, "version")
            if client.type("qcore:queues") == b"set":
                del found[b"qcore:queues"]
            return found

    async def fill(self, broker: RedisBroker) -> None:
        """Have a task in each state, and nothing else."""
        self.server.flush()
        for state in STATES:
            await bring_to(broker, state, a_task(id=f"of-{state}", expires=NOW + 500))


async def raised(broker: RedisBroker, call: Call) -> str | None:
    """Make a call; return what its error says, if it ended in one."""
    try:
        await call(broker)
    except BrokerUnusable as error:
        return str(error)
    return None
