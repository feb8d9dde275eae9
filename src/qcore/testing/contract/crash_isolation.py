"""Cases of `Consumer.claim` for tasks whose workers crashed: with how many others they go out."""

import pytest

from qcore.domain.new_task import NewTask
from qcore.domain.task import Claim, Demand, Verdict
from qcore.domain.transitions import Crashed, Failed
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import end, ids, ids_of, put, take, take_one


async def put_crashed(broker: Broker, tasks: list[NewTask], times: int) -> None:
    """Enqueue tasks of one queue, alone in it, and have them crash so often."""
    await put(broker, *tasks)
    for _ in range(times):
        claims: list[Claim] = []
        while more := await take(broker, 100, tasks[0].queue):
            claims += more
        assert len(claims) == len(tasks)
        await broker.settle([Verdict(claim.lease, Crashed()) for claim in claims], now=NOW)


async def sizes(broker: Broker) -> list[int]:
    """Return how many tasks each claim hands out until none is left."""
    numbers: list[int] = []
    while claims := await take(broker, 100):
        numbers.append(len(claims))
    return numbers


class CrashIsolationCases(Cases):
    """The guilty one of a batch is found, and the others do not die with it."""

    # - A task that has crashed is handed out together with few others of its queue: at most 16 in
    #   all. With no other of its queue if one more crash is its last, which is where `crashes` is
    #   `max_crashes - 1` or more. What does not go with the first ones waits for the next claim.

    async def test_a_task_at_its_last_chance_is_handed_out_alone(self, broker: Broker) -> None:
        """One after the other in their order, and then the others together."""
        await put_crashed(broker, suspects := some_tasks(3), 2)
        await put(broker, *(others := some_tasks(3)))
        for suspect in suspects:
            assert ids(await take(broker, 100)) == [suspect.id]
        assert ids(await take(broker, 100)) == ids_of(others)

    async def test_what_is_before_it_goes_first(self, broker: Broker) -> None:
        """It waits for the next claim, and is alone in that."""
        await put_crashed(broker, [suspect := a_task()], 2)
        await put(broker, later := a_task(), *(urgent := some_tasks(2, priority=1)))
        assert ids(await take(broker, 100)) == ids_of(urgent)
        assert ids(await take(broker, 100)) == [suspect.id]
        assert ids(await take(broker, 100)) == [later.id]

    async def test_after_a_first_crash_few_are_handed_out_together(self, broker: Broker) -> None:
        """Also with those that have not crashed, whichever come first."""
        await put_crashed(broker, some_tasks(20), 1)
        await put(broker, *some_tasks(20))
        assert await sizes(broker) == [16, 16, 8]
        await put(broker, *some_tasks(17, priority=1))
        await put_crashed(broker, some_tasks(1, queue="b"), 1)
        demand = Demand(100, {"default": 0, "b": 0})
        assert len(await broker.claim(demand, now=NOW, until=NOW + LEASE)) == 18

    @pytest.mark.parametrize(
        ("most", "crashes", "expected"),
        [(2, 1, [1, 1, 1]), (4, 2, [3]), (4, 3, [1, 1, 1]), (9, 7, [3]), (9, 8, [1, 1, 1])],
    )
    async def test_the_last_chance_is_a_task_s_own(
        self, broker: Broker, most: int, crashes: int, expected: list[int]
    ) -> None:
        """It is before the crash that would reach its `max_crashes`."""
        await put_crashed(broker, some_tasks(3, max_crashes=most), crashes)
        assert await sizes(broker) == expected

    async def test_it_is_alone_however_room_is_divided(self, broker: Broker) -> None:
        """A quota hands it out or the room that is left, and neither adds another of its queue."""
        await put_crashed(broker, [suspect := a_task()], 2)
        await put(broker, *some_tasks(3), *some_tasks(3, queue="b"))
        demand = Demand(5, {"default": 1, "b": 1})
        claims = await broker.claim(demand, now=NOW, until=NOW + LEASE)
        assert [claim.task.queue for claim in claims].count("b") == 3
        assert [claim.task.id for claim in claims if claim.task.queue != "b"] == [suspect.id]

    async def test_what_expired_does_not_count(self, broker: Broker) -> None:
        """It is not handed out, and so there is nothing that the suspect would go with."""
        await put(broker, *some_tasks(2, priority=1, expires=NOW + 1))
        await put(broker, a_task(id="suspect", priority=2))
        for _ in range(2):
            await end(broker, await take_one(broker), Crashed())
        await put(broker, *some_tasks(2, priority=3, expires=NOW + 1))
        assert ids(await take(broker, 3, now=NOW + 2)) == ["suspect"]

    async def test_failures_are_no_crashes(self, broker: Broker) -> None:
        """A handler that raised has not cost anybody a worker."""
        await put(broker, *(tasks := some_tasks(20)))
        for _ in range(2):
            claims = await take(broker, 100)
            await broker.settle(
                [Verdict(claim.lease, Failed("oops", NOW)) for claim in claims], now=NOW
            )
        assert sorted(ids(await take(broker, 100))) == sorted(ids_of(tasks))
