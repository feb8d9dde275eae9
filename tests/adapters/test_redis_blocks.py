"""Blocks: pending tasks whose ids are stored together, in queues of format 2."""

from collections.abc import Sequence
from random import Random
from typing import Final

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.redis import RedisBroker
from qcore.adapters.redis.keys import Key, Keys
from qcore.domain.answers import Conflict, QueueNotEmpty
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Archived, Deleted, Released, Rescheduled, RunNow, Updated
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.steps import browse_all, ids, ids_of, put, stored_task, sweep_all, take
from tests.adapters.redis_kit import RedisCases
from tests.servers.redis import RedisServer

NAMES: Final = Keys("qcore").of("default")
META, TASKS, PENDING, BLOCKS = (
    NAMES[key - 1] for key in (Key.META, Key.TASKS, Key.PENDING, Key.BLOCKS)
)
PAYLOAD: Final = b'{"user":12345,"mail":"a@bc.org"}\r\n'
"""That of the benchmarks."""
MOST_BYTES: Final = 200
MANY: Final = 20_000


def some(number: int, start: int = 0, priority: int = 0) -> list[NewTask]:
    """Return tasks with ids as qcore makes them."""
    return [a_task(id=f"{start + n:032x}", priority=priority) for n in range(number)]


class TestBlocks(RedisCases):
    """Whatever becomes of a task in a block, nobody sees that it was in one."""

    blocking = True

    @pytest.fixture(autouse=True)
    def _on_a_server(self, empty_redis: RedisServer) -> None:
        self.server, self.url = empty_redis, empty_redis.url

    def blocks(self) -> int:
        return int(self.server.cli("HLEN", BLOCKS))

    @pytest.mark.parametrize("batch", [1, 250], ids=["one by one", "in batches"])
    async def test_a_pending_task_takes_few_bytes(self, broker: RedisBroker, batch: int) -> None:
        """With the payload of the benchmarks, at most 200, whoever counts them."""
        tasks = [
            NewTask("bench:noop", id=f"{n:032x}", payload=PAYLOAD)
            for n in range(MANY // batch * batch)
        ]
        await put(broker, *tasks[:1_000])
        await take(broker, 1_000)
        before = self.server.cli("INFO", "memory")["used_memory"]
        for start in range(1_000, MANY, batch):
            await put(broker, *tasks[start : start + batch])
        after = self.server.cli("INFO", "memory")["used_memory"]
        assert (after - before) / (MANY - 1_000) < MOST_BYTES

    async def test_a_batch_is_in_blocks_until_it_is_claimed(self, broker: RedisBroker) -> None:
        """In its order; what is left of a block is one; nothing is left of them in the end."""
        tasks = some(200)
        await put(broker, *tasks)
        assert (self.server.cli("ZCARD", PENDING), self.blocks()) == (4, 4)
        assert (await broker.count())["default"] == {State.PENDING: 200}
        claimed: list[str] = []
        for number in (1, 99, 64, 1, 63):
            claimed += ids(await take(broker, number))
            left = 200 - len(claimed)
            assert (await broker.count())["default"].get(State.PENDING, 0) == left
        assert claimed == ids_of(tasks)[: len(claimed)]
        assert len(claimed) == 200
        assert self.server.cli("EXISTS", PENDING, BLOCKS) == 0
        assert self.server.cli("HEXISTS", META, "packed") == 0

    async def test_those_that_come_one_by_one_get_into_blocks_while_many_wait(
        self, broker: RedisBroker
    ) -> None:
        """Not while few do: those are claimed soon."""
        tasks = some(200)
        for task in tasks[:60]:
            await put(broker, task)
        assert self.blocks() == 0
        for task in tasks[60:]:
            await put(broker, task)
        assert self.blocks() > 0
        assert ids_of(await browse_all(broker, State.PENDING)) == ids_of(tasks)
        assert ids(await take(broker, 300)) == ids_of(tasks)

    async def test_priorities_and_ids_of_other_kinds_keep_their_places(
        self, broker: RedisBroker
    ) -> None:
        """They are between blocks, before and behind them."""
        first, second = some(20), some(20, 100)
        lone = a_task(id="order-7")
        low, high = some(9, 200, priority=-1), some(9, 300, priority=2)
        mixed = [*some(9, 400), a_task(id="order-8"), *some(9, 500)]
        for batch in (low, first, [lone], second, mixed, high):
            await put(broker, *batch)
        expected = ids_of([*high, *first, lone, *second, *mixed, *low])
        assert ids_of(await browse_all(broker, State.PENDING, limit=7)) == expected
        assert ids(await take(broker, 200)) == expected

    async def test_a_task_in_a_block_is_found_by_its_id(self, broker: RedisBroker) -> None:
        """It is shown, and it conflicts with another one of its id."""
        tasks = some(70)
        await put(broker, *tasks)
        for task in (tasks[0], tasks[63], tasks[64], tasks[69]):
            assert (await stored_task(broker, task)).state is State.PENDING
        answers = await broker.enqueue(tasks[60:68], now=NOW)
        assert answers == [Conflict(task.id, State.PENDING) for task in tasks[60:68]]
        assert isinstance(await broker.remove_queue("default", now=NOW), QueueNotEmpty)
        assert len(await broker.ready_since(["default"], now=NOW)) == 1

    @pytest.mark.parametrize(
        "order", [Archived(), Deleted(), Rescheduled(NOW + 9), Updated({"timeout": 9.0})]
    )
    async def test_an_order_on_a_task_in_a_block_changes_no_other_one(
        self, broker: RedisBroker, order: Archived
    ) -> None:
        """Be it the first one, the last, or one between others."""
        tasks = some(70)
        await put(broker, *tasks)
        moved = [tasks[n].id for n in (0, 10, 11, 63, 64, 69)]
        await broker.execute("default", moved, order, now=NOW)
        rest = [task.id for task in tasks if isinstance(order, Updated) or task.id not in moved]
        assert ids_of(await browse_all(broker, State.PENDING, limit=9)) == rest
        assert (await broker.count())["default"][State.PENDING] == len(rest)
        assert ids(await take(broker, 100)) == rest

    async def test_what_comes_back_goes_to_its_place_before_its_block(
        self, broker: RedisBroker
    ) -> None:
        """And in the midst of one, if others of it came back, too."""
        tasks = some(30)
        await put(broker, *tasks)
        claims = await take(broker, 12)
        verdicts = [Verdict(claim.lease, Released()) for claim in claims]
        await broker.settle([verdicts[n] for n in (3, 11, 0)], now=NOW)
        await broker.settle([verdicts[n] for n in (5, 4, 1, 2, 6, 7, 8, 9, 10)], now=NOW)
        assert ids(await take(broker, 100)) == ids_of(tasks)

    async def test_a_page_ends_in_a_block(self, broker: RedisBroker) -> None:
        """The next one goes on behind it, whatever became of the block meanwhile."""
        tasks = some(70)
        for gone in ([], tasks[:10], tasks[:15], tasks[5:15], tasks[14:15], tasks):
            await put(broker, *tasks)
            page = await broker.browse("default", State.PENDING, 15)
            assert ids_of(page.tasks) == ids_of(tasks[:15])
            await broker.execute("default", ids_of(gone), Deleted(), now=NOW)
            rest = await broker.browse("default", State.PENDING, 100, cursor=page.cursor)
            expected = [task.id for task in tasks[15:] if task not in gone]
            assert ids_of(rest.tasks) == expected
            await broker.execute("default", ids_of(tasks), Deleted(), now=NOW)
            assert await broker.count() == {}
            assert self.blocks() == 0

    async def test_expired_tasks_of_blocks_are_swept(self, broker: RedisBroker) -> None:
        """As those that are in none."""
        await put(
            broker, *(a_task(id=f"{n:032x}", expires=NOW + 5 + n % 2 * 99) for n in range(70))
        )
        assert self.blocks() == 2
        assert (await sweep_all(broker, now=NOW + 6)).expired == 35
        assert (await broker.count())["default"] == {State.PENDING: 35, State.DEAD: 35}
        assert len(await take(broker, 100, now=NOW + 7)) == 35

    async def test_a_sequence_that_was_set_back_overwrites_no_block(
        self, broker: RedisBroker
    ) -> None:
        """The tasks of both batches are there."""
        await put(broker, *some(20))
        self.server.cli("HSET", META, "sequence", "0")
        await put(broker, *some(20, 100))
        assert {*ids(await take(broker, 100))} == {*ids_of([*some(20), *some(20, 100)])}

    async def test_a_block_that_was_edited_away_is_passed_over(self, broker: RedisBroker) -> None:
        """Others are claimed; its tasks are in no state, and enqueued again they run."""
        await put(broker, *(tasks := some(200)))
        self.server.cli("HDEL", BLOCKS, "b40")
        assert len(await take(broker, 300)) == 136
        await put(broker, *tasks[:64])
        assert len(await take(broker, 300)) == 64

    @pytest.mark.parametrize("seed", range(6))
    async def test_it_is_as_in_memory(self, broker: RedisBroker, seed: int) -> None:
        """Whatever is done: claims, pages, counts and single tasks are the same."""
        dice, model = Random(seed), MemoryBroker()
        stores: tuple[Broker, Broker] = (broker, model)
        known: list[str] = []
        for _ in range(60):
            await both_do(stores, known, dice)
            pages = [ids_of(await browse_all(each, State.PENDING, limit=17)) for each in stores]
            assert pages[0] == pages[1]
            counts = [await each.count() for each in stores]
            assert counts[0] == counts[1]
            some_ids = dice.sample(known, min(9, len(known)))
            states = [
                [task and task.state for task in await each.get("default", some_ids)]
                for each in stores
            ]
            assert states[0] == states[1]


async def both_do(stores: Sequence[Broker], known: list[str], dice: Random) -> None:
    """Do one thing with two brokers: enqueue, claim and give some back, or give an order."""
    match dice.choice(["batch", "batch", "one", "claim", "claim", "order", "order", "again"]):
        case "batch":
            priorities = [dice.choice([0, 0, 0, 0, 3]) for _ in range(dice.choice([3, 9, 30, 130]))]
            tasks = [
                a_task(id=f"{len(known) + n:032x}", priority=each)
                for n, each in enumerate(priorities)
            ]
            known += ids_of(tasks)
            for each in stores:
                await put(each, *tasks)
        case "one":
            task = a_task(id=f"{len(known):032x}")
            known.append(task.id)
            for each in stores:
                await put(each, task)
        case "claim":
            number, back = dice.choice([1, 7, 64, 100]), dice.random()
            for each in stores:
                claims = await take(each, number, until=NOW + LEASE)
                kept = Random(back)
                released = [Verdict(c.lease, Released()) for c in claims if kept.random() < back]
                await each.settle(released, now=NOW)
        case "order":
            orders = (Archived(), Deleted(), RunNow(), Updated({"timeout": 3.0}))
            order, which = dice.choice(orders), dice.sample(known, min(5, len(known)))
            for each in stores:
                await each.execute("default", which, order, now=NOW)
        case _:
            which = [a_task(id=name) for name in dice.sample(known, min(12, len(known)))]
            answers = [await each.enqueue(which, now=NOW) for each in stores]
            assert answers[0] == answers[1]
