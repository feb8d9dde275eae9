from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.domain.new_task import TaskId
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Cancelled, Deleted, RunNow, Succeeded
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.states import LATER, bring_to
from qcore.testing.contract.steps import browse_all, ids_of, put, sweep_all, take
from tests.adapters.redis_kit import RedisCases, lasting
from tests.servers.redis import RedisServer

QUEUE = "qcore:{default}:"
TASKS, PROGRESS = f"{QUEUE}tasks", f"{QUEUE}progress"
ROUNDS = 30
NOT_UNDERSTOOD = "what is stored of it cannot be read"

Tamper: TypeAlias = Callable[[bytes], bytes]


def part(n: int, new: bytes) -> Tamper:
    """Return what puts something else in place of one of the words before a bar."""

    def tamper(text: bytes) -> bytes:
        head, bar, tail = text.partition(b"|")
        words = head.split(b" ")
        words[n : n + 1] = [new]
        return b" ".join(words) + bar + tail

    return tamper


VALUES: Mapping[str, Tamper] = {
    "empty": lambda _: b"",
    "a word": lambda _: b"word",
    "no bar": lambda value: value.replace(b"|", b""),
    "a bar": lambda _: b"|",
    "binary": lambda _: b"\xff\x00\xfe" * 9,
    "no line": lambda value: value[2:],
    "another line": lambda value: b"a7" + value[2:],
    "half": lambda value: value[: len(value) // 2],
    "no options": lambda value: value.partition(b"|")[0] + b"|",
    "other options": lambda value: value.partition(b"|")[0] + b"|\x93\x01\x02\x03",
    "more options": lambda value: value + b"\x01",
    "rank": part(0, b"a1x"),
    "expires": part(1, b"soon"),
    "retention": part(2, b"-"),
    "no number": part(2, b"nan"),
    "no moment": part(1, b"nan"),
    "never": part(1, b"inf"),
    "crashes": part(3, b"2.5"),
    "group": part(4, b"maybe"),
    "few facts": part(2, b""),
    "many facts": part(2, b"1 2 3"),
}
RECORDS: Mapping[str, Tamper] = {
    "empty": lambda _: b"",
    "a word": lambda _: b"word",
    "a number": lambda _: b"7",
    "a bar": lambda _: b"|",
    "binary": lambda _: b"\xff\x00\xfe" * 9,
    "no bar": lambda record: record.replace(b"|", b""),
    "half": lambda record: record[: len(record) // 2],
    "token": part(0, b"x"),
    "attempts": part(1, b"x"),
    "many attempts": part(1, b"9" * 400),
    "failures": part(2, b"x"),
    "crashes": part(3, b""),
    "due": part(4, b"soon"),
    "no moment": part(4, b"nan"),
    "unhandled": part(5, b"x"),
    "finished": part(6, b"x"),
    "error": part(7, b"1000"),
    "negative error": part(7, b"-5"),
    "result": part(8, b"x"),
    "few": part(4, b""),
    "many": part(4, b"1 2 3"),
}
PLACES: Mapping[str, Sequence[str | float]] = {
    **{
        f"{n} in {state}": ("ZADD", f"{QUEUE}{state}", score, member)
        for state in (*State, "expiring", "retained")
        if state is not State.GONE
        for n, (score, member) in enumerate(
            [(0, "ghost"), ("inf", "a1ghost"), ("-inf", ""), (NOW, "zz"), (NOW, "victim")]
        )
    },
    "no value": ("HDEL", TASKS, "victim"),
    "no record": ("HDEL", PROGRESS, "victim"),
    "a value alone": ("HSET", TASKS, "ghost", "a1|"),
    "a record alone": ("HSET", PROGRESS, "ghost", "1 1"),
}
"""Commands, some of which leave what cannot be: a task in two states, a task that is none."""


class TestTampering(RedisCases):
    """Whatever somebody writes over a task, it ends or is shown, and the others never notice."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: RedisServer) -> None:
        server.flush()
        self.server, self.url = server, server.url

    @pytest.mark.parametrize("state", [State.PENDING, State.SCHEDULED, State.RETRY, State.ACTIVE])
    @pytest.mark.parametrize("tamper", VALUES.values(), ids=VALUES)
    async def test_what_was_asked_for(
        self, broker: RedisBroker, state: State, tamper: Tamper
    ) -> None:
        """A value that is none, or none of a task, in any of the states that lead to a worker."""
        victim = await bring_to(broker, state, a_task(**UNUSUAL))
        await self._spoil(broker, victim.id, TASKS, tamper)

    @pytest.mark.parametrize("state", [State.PENDING, State.RETRY, State.ACTIVE])
    @pytest.mark.parametrize("tamper", RECORDS.values(), ids=RECORDS)
    async def test_what_has_happened(
        self, broker: RedisBroker, state: State, tamper: Tamper
    ) -> None:
        """A record that is none, of a task that has run before."""
        victim = await bring_to(broker, state, a_task(**UNUSUAL))
        await self._spoil(broker, victim.id, PROGRESS, tamper)

    @pytest.mark.parametrize("state", [State.PENDING, State.RETRY, State.ACTIVE])
    @pytest.mark.parametrize("command", PLACES.values(), ids=PLACES)
    async def test_where_it_is(
        self, broker: RedisBroker, state: State, command: Sequence[str | float]
    ) -> None:
        """Whatever is put into the sorted sets, or taken out of the hashes."""
        await bring_to(broker, state, a_task(id="victim", **UNUSUAL))
        others = some_tasks(3, priority=3, expires=NOW + 500)
        await put(broker, *others, *some_tasks(2, due=LATER))
        self.server.cli(*command)
        for each in State:
            await browse_all(broker, each)
        await broker.get("default", ["victim", "ghost", "zz"])
        done = await self._all_done(broker)
        assert set(ids_of(others)) < done
        await broker.execute("default", ["victim", "ghost", "zz"], Cancelled(), now=NOW)
        await sweep_all(broker, now=NOW + 100 * 86_400)
        await put(broker, again := a_task(id="victim"))
        assert again.id in await self._all_done(broker)

    async def _spoil(self, broker: RedisBroker, victim: TaskId, key: str, tamper: Tamper) -> None:
        """Tamper with a task between others; let workers and operators do all they do."""
        others = some_tasks(3, priority=3, expires=NOW + 500)
        await put(broker, *others, *some_tasks(2, due=LATER))
        with self.server.client() as client:
            before = client.hget(key, victim)
            client.hset(key, victim, tamper(b"0 1 0 0 - - - - - -|" if before is None else before))
        await self._is_listed(broker, victim)
        done = await self._all_done(broker)
        assert set(ids_of(others)) < done
        if victim not in done:
            assert await broker.count() == {"default": {State.DEAD: 1}}
            (shown,) = await browse_all(broker, State.DEAD)
            assert shown.id == victim
            assert shown.error is not None
        for order in (RunNow(), Deleted()):
            await broker.execute("default", [victim], order, now=NOW)
        assert await broker.count() == {}
        # what waits to expire and is no more goes when it would have
        await sweep_all(broker, now=LATER + 500)
        self._nothing_is_left()

    async def _is_listed(self, broker: RedisBroker, victim: TaskId) -> None:
        """Fail unless an operator finds the task, in one state."""
        found = [
            task for state in State for task in await browse_all(broker, state) if task.id == victim
        ]
        assert len(found) == 1
        assert len(await broker.get("default", [victim])) == 1

    async def _all_done(self, broker: RedisBroker) -> set[TaskId]:
        """Let workers come and go until nothing happens any more; return what they have done."""
        done: set[TaskId] = set()
        for n in range(ROUNDS):
            now = LATER + n * 2 * LEASE
            claims = await take(broker, now=now)
            verdicts = [Verdict(claim.lease, Succeeded()) for claim in claims]
            await broker.settle(verdicts, now=now)
            done |= {claim.task.id for claim in claims}
            swept = await sweep_all(broker, now=now + LEASE)
            if not claims and not swept.crashed and not swept.expired:
                return done
        raise AssertionError("there is no end to it")

    def _nothing_is_left(self) -> None:
        keys = lasting(self.server.cli("KEYS", "*"))
        assert keys == {"qcore:queues", "qcore:{default}:meta"}


UNUSUAL = {"priority": 3, "expires": NOW + 500, "max_crashes": 2}
