from collections.abc import Awaitable, Callable, Iterator

import pytest

from qcore.adapters.redis import RedisBroker
from qcore.domain.answers import Conflict, Duplicate, LeaseLost, Moved, Settled
from qcore.domain.new_task import REPLACE, NewTask
from qcore.domain.queue_limits import Rate, SetInFlight, SetRate
from qcore.domain.run_details import DetailsSaved, DetailsUpdate, Progress
from qcore.domain.states import State
from qcore.domain.task import Claim, RetentionPolicy, Verdict
from qcore.domain.transitions import (
    Archived,
    Cancelled,
    Command,
    Deleted,
    Exhausted,
    Expired,
    Failed,
    Rejected,
    Released,
    Revoked,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
)
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.steps import ids_of, put, sweep_all, take
from tests.adapters.redis_kit import RedisCases, lasting
from tests.servers.binaries import SERVERS
from tests.servers.redis import RedisServer

ALL = 100_000
MOST_MS = {
    "session": 60_000,
    "minute": 11_100_000,
    "hour": 180_000_000,
    "day": 7_948_800_000,
}
"""How long a key of a kind is kept at most."""
DAY = 86_400.0


class Works:
    """A broker at work, and a clock that goes on as the work is done."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker = broker
        self.now = NOW

    async def put(self, tasks: list[NewTask]) -> list[NewTask]:
        """Enqueue tasks that are new."""
        await put(self.broker, *tasks, now=self.now)
        return tasks

    async def take(self, number: int) -> list[Verdict]:
        """Claim as many as there must be, as successes."""
        claims: list[Claim] = []
        while len(claims) < number:
            # of what is due, a claim makes a thousand pending
            more = await take(self.broker, number - len(claims), now=self.now)
            assert more
            claims += more
        return [Verdict(claim.lease, Succeeded(b"42", "text/plain")) for claim in claims]

    async def end(self, number: int, outcome: Transition) -> None:
        """Claim as many as there must be, and end all in one way."""
        verdicts = [Verdict(verdict.lease, outcome) for verdict in await self.take(number)]
        answers = await self.broker.settle(verdicts, now=self.now)
        assert {type(answer) for answer in answers} == {Settled}

    async def execute(self, tasks: list[NewTask], order: Command) -> None:
        """Give an order that is carried out."""
        answers = await self.broker.execute("default", ids_of(tasks), order, now=self.now)
        assert {type(answer) for answer in answers} == {Moved}

    async def wait(self, seconds: float) -> None:
        """Let time pass, and sweep to the end."""
        self.now += seconds
        while (await sweep_all(self.broker, limit=10_000, now=self.now)).more:
            pass


async def complete(works: Works, number: int) -> None:
    """Run them."""
    await works.put(some_tasks(number, headers={"a": "b"}))
    await works.end(number, Succeeded(b"42"))


async def retain(works: Works, number: int) -> None:
    """Run them, and keep their results until nobody wants them any more."""
    await works.put(some_tasks(number, retention=60, priority=3))
    await works.end(number, Succeeded(b"42", "text/plain"))
    await works.wait(60)


async def retry(works: Works, number: int) -> None:
    """Let them fail, and then succeed."""
    await works.put(some_tasks(number, due=works.now + 5))
    works.now += 5
    await works.end(number, Failed("no " * 30, works.now + 5))
    works.now += 5
    await works.end(number, Succeeded())


async def archive(works: Works, number: int) -> None:
    """Let them fail for good, or set them aside."""
    await works.put(some_tasks(number // 2))
    await works.end(number // 2, Exhausted("no"))
    await works.execute(await works.put(some_tasks(number - number // 2)), Archived())


async def run_again(works: Works, number: int) -> None:
    """Let them fail for good, and run all the same because somebody says so."""
    tasks = await works.put(some_tasks(number, expires=works.now + 5))
    await works.end(number, Exhausted("no"))
    await works.execute(tasks, RunNow())
    await works.end(number, Revoked())


async def die(works: Works, number: int) -> None:
    """Let them be what can never succeed."""
    await works.put(some_tasks(number))
    await works.end(number, Rejected("no"))


async def cancel(works: Works, number: int) -> None:
    """Cancel what waits, what is scheduled and what runs."""
    tasks = await works.put(some_tasks(number // 3))
    verdicts = await works.take(number // 3)
    tasks += await works.put(some_tasks(number // 3, due=works.now + 5))
    tasks += await works.put(some_tasks(number - number // 3 * 2, expires=works.now + 5))
    await works.execute(tasks, Cancelled())
    assert set(await works.broker.settle(verdicts, now=works.now)) == {LeaseLost()}


async def delete(works: Works, number: int) -> None:
    """Delete what waits, what is scheduled and what has ended."""
    tasks = await works.put(some_tasks(number // 3, retention=60))
    await works.end(number // 3, Succeeded())
    tasks += await works.put(some_tasks(number // 3, due=works.now + 5))
    tasks += await works.put(some_tasks(number - number // 3 * 2, expires=works.now + 5))
    await works.execute(tasks, Deleted())


async def expire(works: Works, number: int) -> None:
    """Let them come too late: some are found by who claims, the others by who sweeps."""
    await works.put(some_tasks(number, expires=works.now + 5))
    works.now += 5
    assert await take(works.broker, number // 2, now=works.now) == []
    await works.wait(0)


async def release(works: Works, number: int) -> None:
    """Give them back, and run them."""
    await works.put(some_tasks(number))
    await works.end(number, Released())
    await works.end(number, Succeeded())


async def crash(works: Works, number: int) -> None:
    """Lose their workers: some of them once, the others as often as they may be lost."""
    await works.put(some_tasks(number // 2, max_crashes=1))
    await works.put(some_tasks(number - number // 2, max_crashes=2))
    verdicts = await works.take(number)
    await works.wait(LEASE)
    await works.end(number - number // 2, Succeeded())
    assert set(await works.broker.settle(verdicts, now=works.now)) == {LeaseLost()}


async def replace(works: Works, number: int) -> None:
    """Enqueue them again under the same ids while they live, and when they have ended."""
    tasks = await works.put(some_tasks(number // 2, retention=60))
    answers = await works.broker.enqueue(tasks, now=works.now)
    assert {type(answer) for answer in answers} == {Conflict}
    await works.end(number // 2, Succeeded(b"42"))
    await works.put([a_task(id=task.id) for task in tasks])
    await works.end(number // 2, Succeeded())


async def snooze(works: Works, number: int) -> None:
    """Put them off, and run them."""
    await works.put(some_tasks(number))
    await works.end(number, Snoozed(works.now + 5, unhandled=True))
    works.now += 5
    await works.end(number, Succeeded())


async def gather(works: Works, number: int) -> None:
    """Let them wait for others of their group, until somebody wants them no more."""
    tasks = await works.put(some_tasks(number, group="a group", due=works.now + 5))
    works.now += 5
    for _ in range(number // 1_000 + 1):
        assert await take(works.broker, now=works.now) == []
    assert (await works.broker.count())["default"][State.AGGREGATING] == number
    await works.execute(tasks, Deleted())


async def be_unique(works: Works, number: int) -> None:
    """Have a key each, and lose it in each way; for some, its time is over before."""
    ways: tuple[Transition, ...] = (Succeeded(b"42"), Exhausted("no"), Rejected("no"), Revoked())
    for n, outcome in enumerate((*ways, Cancelled(), Deleted(), Expired())):
        many = number // 7 + 1
        lasts = works.now + 1 if n % 2 else None
        tasks = await works.put(
            [
                a_task(
                    unique_key=f"key {n} {k}",
                    unique_for=lasts,
                    retention=60 * (n % 3),
                    expires=works.now + 5 if isinstance(outcome, Expired) else None,
                )
                for k in range(many)
            ]
        )
        if isinstance(outcome, Cancelled | Deleted):
            await works.execute(tasks, outcome)
        elif isinstance(outcome, Expired):
            works.now += 5
            assert await take(works.broker, many // 2, now=works.now) == []
            await works.wait(0)
        else:
            await works.end(many, outcome)


async def debounce(works: Works, number: int) -> None:
    """Take each other's place until one of them runs; ask in vain while it does."""
    keys = [f"{k} of them" for k in range(number // 10 + 1)]
    for n in range(8):
        await works.put(
            [a_task(unique_key=key, on_duplicate=REPLACE, due=works.now + 5 + n) for key in keys]
        )
    works.now += 20
    verdicts = await works.take(len(keys))
    late = [a_task(unique_key=key, on_duplicate=REPLACE) for key in keys]
    answers = await works.broker.enqueue(late, now=works.now)
    assert {type(answer) for answer in answers} == {Duplicate}
    answers = await works.broker.settle(verdicts, now=works.now)
    assert set(answers) == {Settled(State.GONE)}


async def say(works: Works, number: int) -> None:
    """Say how far they are and save what they have, fail with all details, and end in each way."""
    ways = (Succeeded(), Exhausted("no", "w", "there"), Rejected("no"), Revoked(), Cancelled())
    for way in ways:
        many = number // len(ways) + 1
        tasks = await works.put(some_tasks(many, retention=60))
        await note(works, many, Failed("no", works.now, worker="w", traceback="there " * 9))
        if isinstance(way, Cancelled):
            await works.execute(tasks, way)
        else:
            await works.end(many, way)


async def note(works: Works, number: int, outcome: Transition) -> None:
    """Run as many as there must be; each says something before it ends in one way."""
    leases = [verdict.lease for verdict in await works.take(number)]
    notes = [DetailsUpdate(lease, Progress(works.now, 0.5), b"so far") for lease in leases]
    assert set(await works.broker.save_details(notes)) == {DetailsSaved()}
    verdicts = [Verdict(lease, outcome) for lease in leases]
    answers = await works.broker.settle(verdicts, now=works.now)
    assert {type(answer) for answer in answers} == {Settled}


async def say_and_be_replaced(works: Works, number: int) -> None:
    """Save something; another one has the id, or the key, before it can be read."""
    half = number // 2 + 1
    tasks = await works.put(some_tasks(half))
    await note(works, half, Exhausted("no"))
    await works.put([a_task(id=task.id) for task in tasks])
    await works.end(half, Succeeded())
    await works.put([a_task(unique_key=f"key {k}") for k in range(half)])
    await note(works, half, Failed("no", works.now + 5))
    await works.put([a_task(unique_key=f"key {k}", on_duplicate=REPLACE) for k in range(half)])
    await works.end(half, Succeeded())


async def lead_on(works: Works, number: int) -> None:
    """Be followed by others, a batch at a time, and those by none."""
    await works.put(some_tasks(number // 2 + 1))
    for start in range(0, number // 2 + 1, 100):
        many = min(100, number // 2 + 1 - start)
        verdicts = [
            Verdict(verdict.lease, Succeeded(then=(a_task(due=works.now + 5),)))
            for verdict in await works.take(many)
        ]
        answers = await works.broker.settle(verdicts, now=works.now)
        assert set(answers) == {Settled(State.GONE)}
    works.now += 5
    await works.end(number // 2 + 1, Succeeded())


async def become_one(works: Works, number: int) -> None:
    """Wait in groups, until one takes the place of all."""
    for n in range(number // 500 + 1):
        group = f"group {n}"
        tasks = await works.put(some_tasks(500, group=group, unique_key=None))
        one = a_task()
        await works.broker.aggregate("default", group, ids_of(tasks), one, now=works.now)
    await works.end(number // 500 + 1, Succeeded())


async def be_limited(works: Works, number: int) -> None:
    """Be started a few at a time, until nobody minds any more."""
    for rule in (SetRate(Rate(number, 9.0)), SetInFlight(number)):
        await works.broker.set_limit("default", rule, now=works.now)
    await works.put(some_tasks(number))
    await works.end(number, Succeeded())
    for lifted in (SetRate(None), SetInFlight(None)):
        await works.broker.set_limit("default", lifted, now=works.now)


PATHS: tuple[Callable[[Works, int], Awaitable[None]], ...] = (
    complete,
    retain,
    retry,
    archive,
    run_again,
    die,
    cancel,
    delete,
    expire,
    release,
    crash,
    replace,
    snooze,
    gather,
    be_unique,
    debounce,
    say,
    say_and_be_replaced,
    lead_on,
    become_one,
    be_limited,
)


class TestGrowth(RedisCases):
    """What is over leaves nothing behind."""

    blocking = True

    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        with RedisServer(SERVERS[-1]) as server:
            yield server

    async def test_a_hundred_thousand_tasks_leave_an_empty_queue(self, server: RedisServer) -> None:
        """Whichever way they went, there is what there is in a queue that never had any."""
        self.url = server.url
        async with self.opened(RetentionPolicy(count=1_000, age=DAY)) as broker:
            works = Works(broker)
            for path in PATHS:
                await path(works, ALL // len(PATHS) + 1)
            await works.wait(2 * DAY)
            assert await broker.count() == {}
        keys = server.cli("KEYS", "*")
        assert lasting(keys) == {"qcore:queues", "qcore:{default}:meta"}
        assert server.cli("HLEN", "qcore:{default}:meta") == 3
        for key in {*keys} - lasting(keys):
            kind = key.rsplit(":", 2)[-2]
            assert 0 < server.cli("PTTL", key) <= MOST_MS[kind]
