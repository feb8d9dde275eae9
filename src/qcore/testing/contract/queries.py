"""Cases of `get`, `browse` and `count`."""

from itertools import product
from typing import Any

import pytest

from qcore.domain.errors import InvalidOption
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Deleted, Exhausted, Failed, Rejected, Rescheduled, Succeeded
from qcore.ports import Broker, Page
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import LATER, REACHABLE, bring_to
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    ids_of,
    put,
    stored_task,
    take,
    take_one,
)


class GetCases(Cases):
    """Tasks by id."""

    # - Each answer is at its id's place, None for one that is not stored in this queue.

    async def test_each_id_is_answered_at_its_place(self, broker: Broker) -> None:
        """Tasks found and tasks missing come in the order of the ids, also one asked for twice."""
        one, two = some_tasks(2)
        await put(broker, one, two, a_task(id="elsewhere", queue="other"))
        found = await broker.get("default", [two.id, "elsewhere", one.id, "missing", two.id])
        assert [task and task.id for task in found] == [two.id, None, one.id, None, two.id]

    async def test_no_ids_are_answered_with_nothing(self, broker: Broker) -> None:
        """Asking for nothing is allowed; so is asking in a queue that never was."""
        assert list(await broker.get("default", [])) == []
        assert list(await broker.get("nowhere", ["one"])) == [None]

    @pytest.mark.parametrize("state", REACHABLE)
    async def test_a_task_is_found_in_every_state(self, broker: Broker, state: State) -> None:
        """`get` shows what was asked for and where it is."""
        task = await bring_to(broker, state, a_task(payload=b"\x00", headers={"a": "b"}))
        stored = await stored_task(broker, task)
        assert (stored.spec, stored.state) == (task, state)


class BrowseCases(Cases):
    """Tasks by state."""

    # - Pending ones in the order of claiming, scheduled and retrying ones by moment due,
    #   active ones by the end of their lease, ended ones with the latest first.

    async def test_pending_tasks_are_listed_in_the_order_of_claiming(self, broker: Broker) -> None:
        """The list is what claims would hand out, one after the other."""
        tasks = [a_task(priority=p) for p in (0, 5, -5, 5, 0, 1000, -1000)]
        await put(broker, *tasks)
        listed = ids_of(await browse_all(broker, State.PENDING))
        assert listed == ids_of(sorted(tasks, key=lambda task: -task.priority))
        assert listed == [claim.task.id for claim in await take(broker)]

    async def test_scheduled_tasks_are_listed_by_their_moments(self, broker: Broker) -> None:
        """What is due next comes first."""
        tasks = [a_task(due=NOW + n) for n in (3, 1, 2)]
        await put(broker, *tasks)
        listed = await browse_all(broker, State.SCHEDULED)
        assert [task.due for task in listed] == [NOW + 1, NOW + 2, NOW + 3]

    async def test_active_tasks_are_listed_by_the_end_of_their_leases(self, broker: Broker) -> None:
        """What may crash next comes first, also after one lease was renewed."""
        await put(broker, *(tasks := some_tasks(3)))
        claims = [await take_one(broker, until=NOW + n) for n in (10, 30, 20)]
        assert ids_of(await browse_all(broker, State.ACTIVE)) == [tasks[n].id for n in (0, 2, 1)]
        await broker.extend([claims[0].lease], until=NOW + 25)
        assert ids_of(await browse_all(broker, State.ACTIVE)) == [tasks[n].id for n in (2, 0, 1)]

    @pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD])
    async def test_ended_tasks_are_listed_with_the_latest_first(
        self, broker: Broker, state: State
    ) -> None:
        """What ended last is what an operator looks for."""
        await put(broker, *(tasks := some_tasks(3, retention=60)))
        outcome = Succeeded() if state is State.COMPLETED else Rejected("no")
        for n, claim in zip((2, 3, 1), await take(broker), strict=True):
            await end(broker, claim, outcome, now=NOW + n / 1_000)
        assert ids_of(await browse_all(broker, state)) == [tasks[n].id for n in (1, 0, 2)]

    # - At most `limit`; every task that stays in its state through all pages is in exactly one.

    @pytest.mark.parametrize("state", REACHABLE)
    async def test_pages_hold_every_task_once(self, broker: Broker, state: State) -> None:
        """Seven tasks, however many fit on a page, also where all have the same moment."""
        tasks = [await bring_to(broker, state) for _ in range(7)]
        for limit in (1, 3, 7, 100):
            listed = await browse_all(broker, state, limit=limit)
            assert sorted(ids_of(listed)) == sorted(ids_of(tasks))
            assert {task.state for task in listed} == {state}

    async def test_pages_go_on_though_tasks_come_and_go(self, broker: Broker) -> None:
        """Tasks that leave and join between two pages move none of those that stay."""
        await put(broker, *(tasks := some_tasks(9)))
        first = await broker.browse("default", State.PENDING, 3)
        assert first.cursor is not None
        await take(broker, 2)
        await execute_on(broker, tasks[5], Deleted())
        await put(broker, high := a_task(priority=9))
        second = await broker.browse("default", State.PENDING, 3, cursor=first.cursor)
        rest = await broker.browse("default", State.PENDING, 99, cursor=second.cursor)
        listed = ids_of([*first.tasks, *second.tasks, *rest.tasks])
        stayed = [task.id for n, task in enumerate(tasks) if n not in {0, 1, 5}]
        assert [task for task in listed if task in stayed] == stayed
        assert listed.count(high.id) <= 1

    async def test_a_cursor_survives_the_task_it_came_from(self, broker: Broker) -> None:
        """A page goes on where the last ended, also when the last task of it is gone."""
        tasks = [await bring_to(broker, State.SCHEDULED) for _ in range(4)]
        first = await broker.browse("default", State.SCHEDULED, 2)
        await broker.execute("default", ids_of(first.tasks), Deleted(), now=NOW)
        rest = await broker.browse("default", State.SCHEDULED, 9, cursor=first.cursor)
        assert sorted(ids_of([*first.tasks, *rest.tasks])) == sorted(ids_of(tasks))
        assert rest.cursor is None

    @pytest.mark.parametrize("moved_to", [-1, 9])
    async def test_pages_go_on_though_their_last_task_moves(
        self, broker: Broker, moved_to: int
    ) -> None:
        """Wherever it goes in the order of its state, all others are in exactly one page."""
        tasks = [a_task(due=NOW + 2 * n) for n in range(1, 8)]
        await put(broker, *tasks)
        listed: list[str] = []
        moved: set[str] = set()
        cursor: str | None = None
        for limit in (3, 2, 9):
            page = await broker.browse("default", State.SCHEDULED, limit, cursor=cursor)
            listed += ids_of(page.tasks)
            cursor = page.cursor
            for last in page.tasks[-1:]:
                await execute_on(broker, last.spec, Rescheduled(last.due + moved_to))
                moved.add(last.id)
        stayed = [task.id for task in tasks if task.id not in moved]
        assert [task for task in listed if task not in moved] == stayed

    async def test_pages_go_on_though_the_lease_of_their_last_task_is_renewed(
        self, broker: Broker
    ) -> None:
        """A worker renews leases all the while that an operator looks at what is active."""
        await put(broker, *(tasks := some_tasks(5)))
        claims = [await take_one(broker, until=NOW + 10 + n) for n in range(5)]
        first = await broker.browse("default", State.ACTIVE, 2)
        await broker.extend([claims[1].lease], until=NOW + 99)
        rest = await broker.browse("default", State.ACTIVE, 9, cursor=first.cursor)
        listed = ids_of([*first.tasks, *rest.tasks])
        assert [task for task in listed if task != tasks[1].id] == [
            tasks[n].id for n in (0, 2, 3, 4)
        ]

    # - A state may be given as its text; what is no state is an `InvalidOption`.

    async def test_a_state_may_be_given_as_its_text(self, broker: Broker) -> None:
        """The text means the state, and the tasks shown have the state itself."""
        for state in REACHABLE:
            task = await bring_to(broker, state, a_task(queue=f"of-{state}"))
            text: Any = str(state)
            page = await broker.browse(task.queue, text, 10)
            assert [(each.id, type(each.state)) for each in page.tasks] == [(task.id, State)]

    async def test_what_is_no_state_is_refused(self, broker: Broker) -> None:
        """An operator who mistypes must not be told that there is nothing."""
        await put(broker, a_task())
        typos: list[Any] = ["pendng", "Pending", "PENDING", "", "all", None, 1]
        for queue, typo in product(("default", "nowhere"), typos):
            with pytest.raises(InvalidOption, match=r"expected one of .*'pending'"):
                await broker.browse(queue, typo, 10)

    async def test_an_empty_state_is_an_empty_page(self, broker: Broker) -> None:
        """Where there is nothing there is one page, empty, without a cursor."""
        await put(broker, a_task(), a_task(queue="other", due=LATER))
        for queue, state in (("default", State.DEAD), ("nowhere", State.PENDING)):
            page = await broker.browse(queue, state, 10)
            assert Page(tuple(page.tasks), page.cursor) == Page(())
        assert await browse_all(broker, State.SCHEDULED) == []

    async def test_a_listed_task_is_what_get_shows(self, broker: Broker) -> None:
        """Both questions have one answer."""
        for state in REACHABLE:
            task = await bring_to(broker, state)
            assert await browse_all(broker, state) == [await stored_task(broker, task)]
            await broker.settle(
                [Verdict(c.lease, Succeeded()) for c in await take(broker)], now=NOW
            )


class ReadySinceCases(Cases):
    """How long a queue has waited."""

    # - Each answer is at its queue's place: when the earliest of its tasks was due that is
    #   pending, or is scheduled or in retry and due by `now`; None where there is none.

    async def test_each_queue_is_answered_with_its_earliest_ready_task(
        self, broker: Broker
    ) -> None:
        """A queue may be named twice; one that is empty or unknown has waited for nothing."""
        await put(broker, a_task(), now=NOW + 1)
        await put(broker, a_task(), now=NOW + 2)
        await put(broker, a_task(queue="later", due=LATER))
        queues = ["later", "nowhere", "default", "default"]
        found = await broker.ready_since(queues, now=NOW + 3)
        assert list(found) == [None, None, NOW + 1, NOW + 1]
        found = await broker.ready_since(queues, now=LATER)
        assert list(found) == [LATER, None, NOW + 1, NOW + 1]
        assert list(await broker.ready_since([], now=NOW)) == []

    async def test_what_runs_or_has_ended_does_not_wait(self, broker: Broker) -> None:
        """What is to be retried waits when that is due, and not before."""
        claim = await a_claimed(broker)
        assert list(await broker.ready_since(["default"], now=NOW + 9)) == [None]
        await end(broker, claim, Failed("no", NOW + 5))
        assert list(await broker.ready_since(["default"], now=NOW + 4)) == [None]
        assert list(await broker.ready_since(["default"], now=NOW + 9)) == [NOW + 5]
        claim = await take_one(broker, now=NOW + 9)
        await end(broker, claim, Exhausted("no"), now=NOW + 9)
        assert list(await broker.ready_since(["default"], now=NOW + 99)) == [None]

    # - Whatever its priority: of each priority the pending task that is claimed first counts, of
    #   at least a hundred priorities, the highest first.

    async def test_a_task_of_a_low_priority_waits_too(self, broker: Broker) -> None:
        """However many of higher priorities are enqueued later, and are handed out before it."""
        await put(broker, a_task(priority=-7), now=NOW)
        await put(broker, *some_tasks(3), now=NOW + 1)
        await put(broker, *(a_task(priority=n) for n in range(1, 50)), now=NOW + 2)
        assert list(await broker.ready_since(["default"], now=NOW + 9)) == [NOW]
        await take(broker, 49, now=NOW + 9)
        assert list(await broker.ready_since(["default"], now=NOW + 9)) == [NOW]

    async def test_a_hundred_priorities_are_looked_at(self, broker: Broker) -> None:
        """Each with several tasks, of which the first counts."""
        await put(broker, *some_tasks(2, priority=-99), now=NOW)
        for later in (1, 2):
            await put(broker, *(a_task(priority=-n) for n in range(99)), now=NOW + later)
        assert list(await broker.ready_since(["default"], now=NOW + 9)) == [NOW]


class CountCases(Cases):
    """Numbers."""

    # - Exactly, by state.

    async def test_tasks_are_counted_by_queue_and_state(self, broker: Broker) -> None:
        """Every state of every queue has its number."""
        for number, state in enumerate(REACHABLE, 1):
            for _ in range(number):
                await bring_to(broker, state, a_task(queue=f"of-{state}"))
        await put(broker, *some_tasks(2, queue="of-dead", due=LATER))
        expected = {f"of-{state}": {state: n} for n, state in enumerate(REACHABLE, 1)}
        expected["of-dead"][State.SCHEDULED] = 2
        assert await broker.count() == expected

    async def test_states_and_queues_with_nothing_are_left_out(self, broker: Broker) -> None:
        """A number is never zero, and a queue that has nothing is not named."""
        claim = await a_claimed(broker)
        assert await broker.count() == {"default": {State.ACTIVE: 1}}
        await end(broker, claim, Succeeded())
        assert await broker.count() == {}
