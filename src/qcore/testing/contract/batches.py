"""Cases of batches that are larger than what one call of a store may take."""

from threading import Event
from typing import Final

from attrs import evolve

from qcore.domain.answers import Enqueued, LeaseLost, Missing, Moved, Settled, Swept
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import Archived, Cancelled, Deleted, Succeeded
from qcore.ports import Broker, LeaseEnded, Notification
from qcore.testing.builders import LEASE, NOW, a_lease, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    ids,
    ids_of,
    put,
    sweep_all,
    take,
)

MANY: Final = 1_003
"""More than a broker is likely to take in one step; no round number, so that a rest is left."""
QUEUES: Final = 303
"""More queues than a broker is likely to ask in one step."""


class LargeBatchCases(Cases):
    """However a broker divides a batch, each answer is at its place."""

    async def test_a_batch_of_renewals_is_answered_in_order(self, broker: Broker) -> None:
        """And each lease that is good is renewed, so that no sweep takes its task back."""
        await put(broker, *some_tasks(MANY))
        leases = [claim.lease for claim in await take(broker, MANY)]
        for n in range(0, MANY, 100):
            leases[n] = a_lease(leases[n].id, token=leases[n].token + 1)
        answers = await broker.extend(leases, until=NOW + 2 * LEASE)
        lost = [n for n, answer in enumerate(answers) if isinstance(answer, LeaseLost)]
        assert lost == [*range(0, MANY, 100)]
        assert {answer.until for answer in answers if not isinstance(answer, LeaseLost)} == {
            NOW + 2 * LEASE
        }
        swept = await sweep_all(broker, limit=MANY, now=NOW + LEASE)
        assert swept.crashed == len(lost)
        swept = await sweep_all(broker, limit=MANY, now=NOW + 2 * LEASE)
        assert swept.crashed == MANY - len(lost)

    async def test_a_batch_of_details_is_saved_and_read_in_order(self, broker: Broker) -> None:
        """What each run saved is its own, and an id that is not stored has none."""
        await put(broker, *some_tasks(MANY))
        claims = await take(broker, MANY)
        updates = [DetailsUpdate(claim.lease, saved=b"%d" % n) for n, claim in enumerate(claims)]
        updates[400] = DetailsUpdate(a_lease("nobody"), saved=b"")
        answers = await broker.save_details(updates)
        assert [n for n, answer in enumerate(answers) if answer != DetailsSaved()] == [400]
        asked = [*ids(claims), "nobody"]
        expected = [Details(saved=b"%d" % n) for n in range(MANY)]
        expected[400] = Details()
        assert list(await broker.details("default", asked)) == [*expected, None]

    async def test_a_batch_of_verdicts_is_answered_in_order(self, broker: Broker) -> None:
        """Of two queues in turn, the last first; those that were lost are named as such."""
        tasks = [a_task(queue="ab"[n % 2], retention=60) for n in range(MANY)]
        await put(broker, *tasks)
        claims = {claim.task.id: claim for claim in await take(broker, MANY, "a", "b")}
        verdicts = [
            Verdict(claims[task.id].lease, Succeeded(b"%d" % n)) for n, task in enumerate(tasks)
        ]
        await end(broker, claims[tasks[7].id], Succeeded(b"first"))
        answers = await broker.settle(verdicts[::-1], now=NOW)
        lost = [n for n, answer in enumerate(answers) if answer != Settled(State.COMPLETED)]
        assert lost == [MANY - 1 - 7]
        for queue, first in (("a", 0), ("b", 1)):
            found = await broker.get(queue, ids_of(tasks[first::2]))
            results = [None if task is None else task.result for task in found]
            expected = [b"%d" % n for n in range(first, MANY, 2)]
            assert results == [b"first" if each == b"7" else each for each in expected]

    async def test_all_that_follow_one_success_are_enqueued(self, broker: Broker) -> None:
        """However many there are."""
        claim = await a_claimed(broker)
        then = tuple(a_task(queue="b") for _ in range(MANY))
        assert await end(broker, claim, Succeeded(then=then)) == Settled(State.GONE)
        assert ids(await take(broker, MANY, "b")) == ids_of(then)

    async def test_a_page_may_be_large(self, broker: Broker) -> None:
        """Whatever the limit, all pages together show every task, in order."""
        tasks = some_tasks(MANY)
        await put(broker, *tasks)
        for limit in (MANY - 1, MANY, 10 * MANY):
            assert ids_of(await browse_all(broker, State.PENDING, limit=limit)) == ids_of(tasks)

    async def test_a_command_reaches_a_batch_in_order(self, broker: Broker) -> None:
        """With an answer for each id, also for one that is not stored."""
        tasks = some_tasks(MANY)
        await put(broker, *tasks)
        asked = [*ids_of(tasks[:300]), "nobody", *ids_of(tasks[300:])]
        answers = await broker.execute("default", asked, Archived("all"), now=NOW)
        assert [n for n, answer in enumerate(answers) if answer != Moved(State.ARCHIVED)] == [300]
        assert answers[300] == Missing()
        answers = await broker.execute("default", asked[::-1], Deleted(), now=NOW)
        assert answers[MANY - 300] == Missing()
        assert await broker.count() == {}

    async def test_a_batch_for_queues_in_turn_is_answered_in_order(self, broker: Broker) -> None:
        """Not queue by queue, nor in the order in which the queues were first named."""
        tasks = [a_task(queue="cab"[n % 3], due=NOW + 1 + n) for n in range(MANY)]
        answers = await broker.enqueue(tasks[::-1], now=NOW)
        assert list(answers) == [Enqueued(task.id, State.SCHEDULED) for task in tasks[::-1]]
        by_id = dict[str, Lease]()
        # one claim need not promote so many that are due
        while claims := await take(broker, MANY, "a", "b", "c", now=NOW + 2 * MANY):
            by_id.update((claim.task.id, claim.lease) for claim in claims)
        # the queues in turn again
        leases = [by_id[task.id] for task in tasks[::-1]]
        renewed = await broker.extend(leases, until=NOW + 3 * MANY)
        assert list(renewed) == [evolve(lease, until=NOW + 3 * MANY) for lease in leases]
        leases[4] = evolve(leases[4], token=leases[4].token + 1)
        saved = await broker.save_details([DetailsUpdate(lease, saved=b"") for lease in leases])
        assert [n for n, answer in enumerate(saved) if answer != DetailsSaved()] == [4]

    async def test_all_that_expire_are_swept_at_once(self, broker: Broker) -> None:
        """If the limit of the sweep allows it."""
        await put(broker, *some_tasks(MANY, expires=NOW + 1))
        assert await sweep_all(broker, limit=MANY + 1, now=NOW + 1) == Swept(expired=MANY)
        assert await broker.count() == {"default": {State.DEAD: MANY}}

    async def test_every_lease_that_a_command_ends_is_notified_of(self, broker: Broker) -> None:
        """However many tasks it cancels."""
        await put(broker, *some_tasks(MANY))
        tokens = {claim.lease.token for claim in await take(broker, MANY)}
        told, everyone = set[int](), Event()

        def notify(notification: Notification) -> None:
            assert isinstance(notification, LeaseEnded)
            told.add(notification.token)
            if len(told) == MANY:
                everyone.set()

        subscription = await broker.subscribe(["default"], {LeaseEnded}, notify)
        tasks = ids_of((await broker.browse("default", State.ACTIVE, MANY)).tasks)
        await broker.execute("default", tasks, Cancelled(), now=NOW)
        assert await self.comes(everyone), f"{len(told)} of {MANY} leases were told of"
        assert told == tokens
        await subscription.close()

    async def test_queues_may_be_many(self, broker: Broker) -> None:
        """Each of them is counted, swept, asked for what is due, and served."""
        names = [f"queue-{n}" for n in range(QUEUES)]
        last = names[-1:]
        tasks = [a_task(queue=name) for name in names]
        await put(broker, *tasks)
        await put(broker, a_task(queue=names[-1], due=NOW + 5))
        assert len(await broker.count()) == QUEUES
        assert await broker.next_due(names) == await broker.next_due(last) == NOW + 5
        assert ids(await take(broker, QUEUES, *names)) == ids_of(tasks)
        assert await sweep_all(broker, *names, now=NOW + LEASE) == Swept(crashed=QUEUES)
