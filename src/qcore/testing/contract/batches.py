"""Cases of batches that are larger than what one call of a store may take."""

from typing import Final

from qcore.domain.answers import Enqueued, LeaseLost, Missing, Moved, Settled
from qcore.domain.lifecycle import Archived, Deleted, State, Succeeded
from qcore.domain.run_details import Details, DetailsSaved, DetailsUpdate
from qcore.domain.task import Verdict
from qcore.ports import Broker
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

MANY: Final = 501
"""More than a broker is likely to take in one step; no round number, so that a rest is left."""


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
        claims = await take(broker, MANY, "a", "b", "c", now=NOW + 2 * MANY)
        leases = [claim.lease for claim in claims][::-1]
        renewed = await broker.extend(leases, until=NOW + 3 * MANY)
        assert [each.id for each in renewed if not isinstance(each, LeaseLost)] == [
            lease.id for lease in leases
        ]
