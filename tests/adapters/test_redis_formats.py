"""A queue that an earlier qcore has written, in format 1: recorded, read, and worked off."""

import json
from pathlib import Path
from typing import Final

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.keys import Key, Keys
from qcore.domain.answers import Settled
from qcore.domain.diagnostics import Grade
from qcore.domain.states import State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import Deleted, RunNow, Succeeded
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.states import LATER
from qcore.testing.contract.steps import browse_all, ids, ids_of, put, sweep_all, take
from tests.adapters.doctoring import examined, of
from tests.adapters.redis_kit import RedisCases
from tests.servers.redis import RedisServer

RECORDED: Final = Path(__file__).with_name("recorded") / "redis-format-1.json"
BLOCKS: Final = Keys("qcore").of("default")[Key.BLOCKS - 1]
META: Final = Keys("qcore").of("default")[Key.META - 1]


def named(number: int) -> str:
    """Return the id of a recorded task."""
    return f"{number:032x}"


STATES: Final = {
    named(1): State.RETRY,
    named(2): State.ACTIVE,
    named(3): State.COMPLETED,
    named(4): State.ARCHIVED,
    named(5): State.DEAD,
    named(6): State.AGGREGATING,
    named(7): State.SCHEDULED,
    named(8): State.SCHEDULED,
}
IN_ORDER: Final = [
    named(32),
    *map(named, range(16, 28)),
    "order-7",
    *map(named, (34, 35, 36, 37, 33)),
]
"""The pending tasks, as they were to be claimed: an urgent one first, a low one last."""


def play(server: RedisServer) -> None:
    """Write what was recorded."""
    with server.client() as client:
        for name, key in json.loads(RECORDED.read_text(encoding="ascii"))["keys"].items():
            kind, value = key["type"], key["value"]
            if kind == "hash":
                pairs = {a.encode("latin-1"): b.encode("latin-1") for a, b in value.items()}
                client.hset(name, mapping=pairs)
            elif kind == "zset":
                client.zadd(name, {a.encode("latin-1"): score for a, score in value.items()})
            else:
                client.sadd(name, *value)


class TestFormatOne(RedisCases):
    """What is stored in format 1 loses nothing, and stays what earlier versions can read."""

    @pytest.fixture(autouse=True)
    def _recorded(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url
        play(empty_redis)

    async def test_each_task_is_in_its_state(self, broker: RedisBroker) -> None:
        """By its id and page by page, with its options, its error and its result."""
        found = await broker.get("default", [*STATES, *IN_ORDER])
        assert [task and task.state for task in found] == [*STATES.values()] + [State.PENDING] * 19
        pending = await browse_all(broker, State.PENDING)
        assert ids_of(pending) == IN_ORDER
        by_id = {task.id: task for task in found if task is not None}
        assert by_id[named(34)].spec.headers == {"trace": "é"}
        assert by_id[named(37)].spec.max_retry == 1
        assert by_id[named(17)].spec.payload == b"[17]"
        assert by_id[named(3)].result == b"42"
        assert by_id[named(4)].error == "it failed for good"
        assert (await broker.count())["default"] == {
            **dict.fromkeys(STATES.values(), 1),
            State.SCHEDULED: 2,
            State.PENDING: 19,
        }

    async def test_all_of_it_is_worked_off(self, broker: RedisBroker) -> None:
        """A lease of before holds, what waits is claimed in its order, and nothing is left."""
        before = Verdict(
            Lease("default", named(2), 1_800_000_000_000_002, NOW + LEASE), Succeeded()
        )
        assert await broker.settle([before], now=NOW) == [Settled(State.GONE)]
        # the end of the one that had its unique key
        order = [*IN_ORDER[:-1], named(8), IN_ORDER[-1]]
        claims = [*await take(broker, 50, now=NOW)]
        assert ids(claims) == order
        claims += await take(broker, 50, now=LATER)
        assert [*ids(claims)][len(order) :] == [named(7), named(1)]
        await broker.aggregate("default", "a group", [named(6)], a_task(), now=LATER)
        await broker.execute("default", [named(4), named(5)], RunNow(), now=LATER)
        claims += await take(broker, 50, now=LATER)
        answers = await broker.settle([Verdict(c.lease, Succeeded()) for c in claims], now=LATER)
        assert {type(answer) for answer in answers} == {Settled}
        assert (await broker.count())["default"] == {State.COMPLETED: 2}
        await sweep_all(broker, now=NOW + 10_000)
        assert await broker.count() == {}

    async def test_a_lease_of_before_that_runs_out_is_a_crash(self, broker: RedisBroker) -> None:
        """The task is taken back, and claimed again."""
        assert (await sweep_all(broker, now=NOW + LEASE)).crashed == 1
        assert named(2) in ids(await take(broker, 50, now=LATER))

    async def test_it_stays_in_its_format(self, broker: RedisBroker) -> None:
        """However many tasks come: processes of the version before may be there still."""
        await put(broker, *(a_task(id=named(n)) for n in range(1_000, 1_100)))
        assert self.server.cli("HGET", META, "version") == "1"
        assert self.server.cli("EXISTS", BLOCKS) == 0

    async def test_the_doctor_says_how_to_go_on(self, broker: RedisBroker) -> None:
        """The command that it names saves memory from then on; what waits keeps its order."""
        told = of(await examined(self.url), "queues")
        assert told.grade is Grade.ADVICE
        assert told.found.startswith("default: of format 1, ")
        assert "19 tasks that wait" in told.found
        self.server.cli(*told.to_do.partition(": ")[2].split())
        assert of(await examined(self.url), "queues").grade is Grade.OK
        new = [a_task(id=named(n)) for n in range(1_000, 1_100)]
        await put(broker, *new)
        assert self.server.cli("HLEN", BLOCKS) == 2
        assert of(await examined(self.url), "leftovers").grade is Grade.OK
        expected = [*IN_ORDER[:-1], *ids_of(new), IN_ORDER[-1]]
        assert ids_of(await browse_all(broker, State.PENDING)) == expected
        assert ids(await take(broker, 200)) == expected
        await broker.execute("default", [*STATES], Deleted(), now=NOW)
