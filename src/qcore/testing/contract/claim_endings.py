"""`ClaimEndingsContract`: the contract of `ClaimEndings`, the tasks that claims have ended."""

from collections.abc import Sequence
from typing import Final

from qcore.domain.answers import MAX_SWEPT_TASKS, Swept, SweptTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.domain.transitions import Expired, Released
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases, in_threads
from qcore.testing.contract.steps import a_claimed, end, put, sweep_all, take
from qcore.testing.optional_ports import claim_endings

CLAIMS_KEPT: Final = 16


class ClaimEndingsContract(Cases):
    """Inherit it with `Capability.CLAIM_ENDINGS`."""

    # - One `Swept` for each claim that ended any, the oldest first, with the number of those that
    #   had expired, and of those that could not be read; it names the first `MAX_SWEPT_TASKS`.

    async def test_a_claim_names_the_tasks_that_it_ended(self, broker: Broker) -> None:
        """Each with its queue, its id and its name; not those that are handed out, or wait."""
        first = a_task(name="mail:a", queue="a", expires=NOW + 1)
        second = a_task(name="mail:b", queue="b", expires=NOW + 1)
        await put(broker, first, second, a_task(queue="a"), *some_tasks(2, expires=NOW + 1))
        assert len(await take(broker, 10, "a", "b", now=NOW + 5)) == 1
        [swept] = taken(broker)
        assert swept == Swept(expired=2)
        assert sorted(swept.tasks, key=_queue_of) == [
            SweptTask("a", first.id, State.DEAD, Expired(), "mail:a", 0),
            SweptTask("b", second.id, State.DEAD, Expired(), "mail:b", 0),
        ]

    async def test_it_says_how_often_they_were_started(self, broker: Broker) -> None:
        """One that was given back may expire, too."""
        claim = await a_claimed(broker, task := a_task(expires=NOW + 1))
        await end(broker, claim, Released())
        await take(broker, now=NOW + 5)
        [swept] = taken(broker)
        assert [(each.id, each.attempts) for each in swept.tasks] == [(task.id, 1)]

    async def test_claims_that_ended_tasks_stand_in_their_order(self, broker: Broker) -> None:
        """Those that ended none have no place there, nor has a sweep, which answers itself."""
        ended = [await ended_by_a_claim(broker, now=NOW + n) for n in range(3)]
        await a_claimed(broker, a_task(queue="other"))
        await put(broker, a_task(queue="swept", expires=NOW + 1))
        assert await sweep_all(broker, "swept", now=NOW + 5) == Swept(expired=1)
        assert [ids_of(swept) for swept in taken(broker)] == [[task.id] for task in ended]

    async def test_a_claim_names_no_more_than_a_sweep(self, broker: Broker) -> None:
        """The number is that of all."""
        await put(broker, *some_tasks(MAX_SWEPT_TASKS + 50, expires=NOW + 1))
        assert await take(broker, 500, now=NOW + 5) == []
        [swept] = taken(broker)
        assert swept == Swept(expired=MAX_SWEPT_TASKS + 50)
        assert len({*ids_of(swept)}) == len(swept.tasks) == MAX_SWEPT_TASKS

    # - Each is returned once, whoever asks.

    async def test_what_was_told_is_not_told_again(self, broker: Broker) -> None:
        """The next who asks hears of what has ended since."""
        assert taken(broker) == ()
        first = await ended_by_a_claim(broker)
        assert [ids_of(swept) for swept in taken(broker)] == [[first.id]]
        assert taken(broker) == ()
        second = await ended_by_a_claim(broker)
        assert [ids_of(swept) for swept in taken(broker)] == [[second.id]]

    async def test_of_threads_that_ask_at_once_one_is_told(self, broker: Broker) -> None:
        """Workers in several threads may share a broker."""
        ended = [await ended_by_a_claim(broker) for _ in range(CLAIMS_KEPT)]
        told = in_threads([lambda: taken(broker)] * 8)
        ids = [task for each in told for swept in each for task in ids_of(swept)]
        assert sorted(ids) == sorted(task.id for task in ended)

    # - While nobody asks, those of the last 16 claims are kept.

    async def test_what_nobody_asks_for_is_not_kept_for_ever(self, broker: Broker) -> None:
        """A program that claims by itself pays no memory for it."""
        ended = [await ended_by_a_claim(broker) for _ in range(CLAIMS_KEPT + 2)]
        kept = [ids_of(swept) for swept in taken(broker)]
        assert kept == [[task.id] for task in ended[2:]]

    # - It reads nothing from the store, makes nobody wait, and may be called from any thread.

    async def test_a_broker_that_is_closed_still_tells(self, broker: Broker) -> None:
        """Who stops a worker hears of its last claim."""
        task = await ended_by_a_claim(broker)
        await broker.close()
        [told] = in_threads([lambda: taken(broker)])
        assert [ids_of(swept) for swept in told] == [[task.id]]


async def ended_by_a_claim(broker: Broker, *, now: Moment = NOW) -> NewTask:
    """Have a claim end a task, and return that."""
    await put(broker, task := a_task(expires=now + 1), now=now)
    assert await take(broker, 1, now=now + 5) == []
    return task


def taken(broker: Broker) -> Sequence[Swept]:
    """Return what the claims of a broker have ended."""
    return (*claim_endings(broker).take_ended(),)


def ids_of(swept: Swept) -> list[str]:
    """Return the ids of the tasks that are named."""
    return [task.id for task in swept.tasks]


def _queue_of(task: SweptTask) -> str:
    return task.queue
