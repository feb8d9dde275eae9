"""Cases of `Operator.execute`."""

import pytest
from attrs import evolve

from qcore.domain.answers import LeaseLost, Missing, Moved, NotAllowed, Settled, Swept
from qcore.domain.lifecycle import MOVES
from qcore.domain.states import State
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Crashed,
    Deleted,
    Discarded,
    Failed,
    RunNow,
    Snoozed,
    Succeeded,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import REACHABLE, bring_to, states_allowing
from qcore.testing.contract.steps import (
    a_claimed,
    browse_all,
    end,
    execute_on,
    ids,
    nothing_is_left,
    put,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.task_examples import all_examples

ORDERS: tuple[Command, ...] = (
    RunNow(),
    Archived("set aside"),
    Cancelled("not wanted"),
    Discarded(),
    BroughtBack(),
    Deleted(),
)


class CommandCases(Cases):
    """Operators' moves."""

    # - Each answer is at its id's place: `Moved` with the new state; `NotAllowed` with the
    #   state, where the table has no such move; `Missing` where there is no such task.

    async def test_each_order_is_answered_at_its_place(self, broker: Broker) -> None:
        """Answers of every kind come in the order of the ids."""
        active, dead = await bring_to(broker, State.ACTIVE), await bring_to(broker, State.DEAD)
        waits = await bring_to(broker, State.SCHEDULED)
        asked = [dead.id, "missing", active.id, waits.id]
        assert list(await broker.execute("default", asked, Deleted(), now=NOW)) == [
            Moved(State.GONE),
            Missing(),
            NotAllowed(State.ACTIVE),
            Moved(State.GONE),
        ]
        assert await broker.count() == {"default": {State.ACTIVE: 1}}

    async def test_an_id_twice_in_an_order_is_moved_once(self, broker: Broker) -> None:
        """The second of two orders for one task meets it as the first has left it."""
        task = await bring_to(broker, State.PENDING)
        answers = await broker.execute("default", [task.id, task.id], Deleted(), now=NOW)
        assert list(answers) == [Moved(State.GONE), Missing()]

    async def test_an_order_for_nothing_is_answered_with_nothing(self, broker: Broker) -> None:
        """No ids, no answers; a queue that never was has no tasks."""
        assert list(await broker.execute("default", [], RunNow(), now=NOW)) == []
        assert list(await broker.execute("nowhere", ["one"], RunNow(), now=NOW)) == [Missing()]
        assert await broker.count() == {}

    async def test_an_order_is_for_one_queue(self, broker: Broker) -> None:
        """A task of the same id in another queue is left alone."""
        here, there = a_task(id="same", queue="a"), a_task(id="same", queue="b")
        await put(broker, here, there)
        await execute_on(broker, here, Cancelled())
        assert (await stored_task(broker, there)).state is State.PENDING

    @pytest.mark.parametrize(
        ("state", "order"),
        [(s, order) for s in REACHABLE for order in ORDERS if type(order) not in MOVES[s]],
        ids=str,
    )
    async def test_an_order_that_the_table_does_not_have_changes_nothing(
        self, broker: Broker, state: State, order: Command
    ) -> None:
        """The answer names the state in which the task is, and stays."""
        task = await bring_to(broker, state)
        before, queue = await stored_task(broker, task), await browse_all(broker, state)
        assert await execute_on(broker, task, order, now=NOW + 1) == NotAllowed(state)
        assert await stored_task(broker, task) == before
        assert await browse_all(broker, state) == queue

    # - `RunNow` makes a task pending and due now, behind those pending, with no failures, no
    #   crashes, no error, no result and no expiry.

    @pytest.mark.parametrize("state", states_allowing(RunNow))
    async def test_run_now_gives_a_fresh_start(self, broker: Broker, state: State) -> None:
        """Whatever a task was, it is pending and due now, its budgets whole."""
        task = await bring_to(broker, state, a_task(expires=NOW + 3_600))
        before = await stored_task(broker, task)
        assert await execute_on(broker, task, RunNow(), now=NOW + 9) == Moved(State.PENDING)
        stored = await stored_task(broker, task)
        assert (stored.state, stored.due, stored.created) == (State.PENDING, NOW + 9, NOW)
        assert (stored.failures, stored.crashes, stored.error) == (0, 0, None)
        assert (stored.result, stored.result_type, stored.finished) == (None, None, None)
        assert stored.attempts == before.attempts
        assert stored.spec == evolve(task, expires=None)
        assert await broker.next_due(["default"]) is None

    @pytest.mark.parametrize("state", states_allowing(RunNow))
    async def test_run_now_leaves_what_was_asked_for(self, broker: Broker, state: State) -> None:
        """Headers, tags and every other option, but for its expiry."""
        asked = all_examples("id", "queue", "due", "priority")
        asked["expires"] = NOW + 3_600
        task = await bring_to(broker, state, a_task(**asked))
        await execute_on(broker, task, RunNow())
        assert (await stored_task(broker, task)).spec == evolve(task, expires=None)
        claim = await take_one(broker)
        assert claim.task.spec == evolve(task, expires=None)

    @pytest.mark.parametrize("state", states_allowing(RunNow))
    async def test_run_now_goes_behind_those_pending(self, broker: Broker, state: State) -> None:
        """An operator's wish does not push in, and a higher priority still comes first."""
        task = await bring_to(broker, state)
        await put(broker, low := a_task(priority=-1), same := a_task(), high := a_task(priority=1))
        await execute_on(broker, task, RunNow())
        await put(broker, after := a_task())
        assert ids(await take(broker)) == [high.id, same.id, task.id, after.id, low.id]

    async def test_run_now_gives_back_the_crash_budget(self, broker: Broker) -> None:
        """Poison that an operator sends out again may crash as often as a new task."""
        task = a_task(max_crashes=2)
        await put(broker, task)
        for _ in range(2):
            await end(broker, await take_one(broker), Crashed())
        await execute_on(broker, task, RunNow())
        assert await end(broker, await take_one(broker), Crashed()) == Settled(State.PENDING)

    async def test_run_now_saves_an_expired_task(self, broker: Broker) -> None:
        """A task that died of expiry does not expire again."""
        await put(broker, task := a_task(expires=NOW + 1))
        await sweep_all(broker, now=NOW + 2)
        await execute_on(broker, task, RunNow(), now=NOW + 3)
        assert (await sweep_all(broker, now=NOW + 4)).expired == 0
        assert ids(await take(broker, now=NOW + 4)) == [task.id]

    async def test_a_task_run_now_is_not_trimmed(self, broker: Broker) -> None:
        """A task that was kept and runs again is kept no longer by its old retention."""
        task = await bring_to(broker, State.COMPLETED, a_task(retention=3_600))
        await execute_on(broker, task, RunNow())
        assert (await sweep_all(broker, now=NOW + 1e9)).trimmed == 0
        assert (await stored_task(broker, task)).state is State.PENDING

    # - `Archived` and `Cancelled` keep it as archived or dead, with the reason.

    @pytest.mark.parametrize("state", states_allowing(Archived))
    async def test_an_archived_task_is_kept_with_the_reason(
        self, broker: Broker, state: State
    ) -> None:
        """A task set aside shows when and why, and is not claimed."""
        task = await bring_to(broker, state)
        assert await execute_on(broker, task, Archived("hm"), now=NOW + 9) == Moved(State.ARCHIVED)
        stored = await stored_task(broker, task)
        assert (stored.state, stored.error, stored.finished) == (State.ARCHIVED, "hm", NOW + 9)
        assert await take(broker, now=NOW + 1e6) == []
        assert await broker.next_due(["default"]) is None

    @pytest.mark.parametrize("state", states_allowing(Cancelled))
    async def test_a_cancelled_task_is_kept_with_the_reason(
        self, broker: Broker, state: State
    ) -> None:
        """A cancelled task is dead, not retried, and shows when and why."""
        task = await bring_to(broker, state)
        assert await execute_on(broker, task, Cancelled("hm"), now=NOW + 9) == Moved(State.DEAD)
        stored = await stored_task(broker, task)
        assert (stored.state, stored.error, stored.finished) == (State.DEAD, "hm", NOW + 9)
        assert await take(broker, now=NOW + 1e6) == []
        assert await broker.next_due(["default"]) is None

    async def test_an_order_does_not_burn_a_budget(self, broker: Broker) -> None:
        """Failures and attempts are as they were when the operator came."""
        claim = await a_claimed(broker)
        await end(broker, claim, Failed("no", again_at=NOW + 60))
        await execute_on(broker, claim.task.spec, Archived())
        stored = await stored_task(broker, claim.task.spec)
        assert (stored.attempts, stored.failures, stored.crashes) == (1, 1, 0)

    # - `Discarded` keeps it as archived, with an error that says so, and in which state it was.

    @pytest.mark.parametrize("state", states_allowing(Discarded))
    async def test_a_discarded_task_is_kept_and_says_what_it_was(
        self, broker: Broker, state: State
    ) -> None:
        """It is not claimed, and its own error stands behind what was done to it."""
        task = await bring_to(broker, state)
        error = (await stored_task(broker, task)).error
        assert await execute_on(broker, task, Discarded(), now=NOW + 9) == Moved(State.ARCHIVED)
        stored = await stored_task(broker, task)
        assert (stored.state, stored.finished) == (State.ARCHIVED, NOW + 9)
        assert stored.error == f"discarded while {state}" + (f": {error}" if error else "")
        assert await take(broker, now=NOW + 1e6) == []
        assert await broker.next_due(["default"]) is None

    async def test_to_discard_a_task_twice_changes_nothing(self, broker: Broker) -> None:
        """It is remembered what it was at first; it is kept for longer."""
        await put(broker, task := a_task(due=NOW + 60))
        await execute_on(broker, task, Discarded())
        assert await execute_on(broker, task, Discarded(), now=NOW + 5) == Moved(State.ARCHIVED)
        stored = await stored_task(broker, task)
        assert (stored.error, stored.finished) == ("discarded while scheduled", NOW + 5)

    # - `BroughtBack` takes what was discarded back to that state, to its place there and to the
    #   error that it had; any other archived task stays archived.

    @pytest.mark.parametrize("state", states_allowing(Discarded))
    async def test_what_was_discarded_comes_back_as_it_was(
        self, broker: Broker, state: State
    ) -> None:
        """Its moment due, its failures and its error, too; what had ended has ended now."""
        task = await bring_to(broker, state)
        before = await stored_task(broker, task)
        await execute_on(broker, task, Discarded())
        assert await execute_on(broker, task, BroughtBack(), now=NOW + 9) == Moved(state)
        ended = None if before.finished is None else NOW + 9
        assert await stored_task(broker, task) == evolve(before, finished=ended)

    async def test_what_comes_back_goes_to_its_place(self, broker: Broker) -> None:
        """One that was pending stands where it was, and others are due when they were."""
        tasks = [a_task(), a_task(), a_task(), later := a_task(due=NOW + 60)]
        await put(broker, *tasks)
        for task in (tasks[1], later):
            await execute_on(broker, task, Discarded())
            await execute_on(broker, task, BroughtBack(), now=NOW + 1)
        assert await broker.next_due(["default"]) == NOW + 60
        assert ids(await take(broker, now=NOW + 2)) == [task.id for task in tasks[:3]]
        assert ids(await take(broker, now=NOW + 60)) == [later.id]

    async def test_what_was_not_discarded_does_not_come_back(self, broker: Broker) -> None:
        """Neither what was archived, nor what was run again since."""
        archived = await bring_to(broker, State.ARCHIVED)
        await put(broker, again := a_task())
        await execute_on(broker, again, Discarded())
        await execute_on(broker, again, RunNow())
        await execute_on(broker, again, Archived("set aside"))
        for task, error in ((archived, "it failed for good"), (again, "set aside")):
            assert await execute_on(broker, task, BroughtBack()) == Moved(State.ARCHIVED)
            stored = await stored_task(broker, task)
            assert (stored.state, stored.error) == (State.ARCHIVED, error)

    async def test_what_is_discarded_is_trimmed_as_what_is_archived(self, broker: Broker) -> None:
        """It can be brought back for as long as archived tasks are kept, and is gone then."""
        await put(broker, task := a_task())
        await execute_on(broker, task, Discarded())
        assert (await sweep_all(broker, now=NOW + 1e9)).trimmed == 1
        await nothing_is_left(broker, task)

    # - `Cancelled` ends the lease of an active task: its worker's verdict is `LeaseLost`.

    async def test_cancelling_an_active_task_ends_its_lease(self, broker: Broker) -> None:
        """The worker of a cancelled task can neither renew nor settle it."""
        claim = await a_claimed(broker, a_task(retention=60))
        assert await execute_on(broker, claim.task.spec, Cancelled()) == Moved(State.DEAD)
        before = await stored_task(broker, claim.task.spec)
        renewed = await broker.extend([claim.lease], until=NOW + 99)
        assert list(renewed) == [LeaseLost()]
        assert await end(broker, claim, Succeeded(b"late", "a/b")) == LeaseLost()
        assert await stored_task(broker, claim.task.spec) == before
        assert (await sweep_all(broker, now=NOW + LEASE)).crashed == 0

    async def test_cancelling_forgets_nothing_that_was_learned(self, broker: Broker) -> None:
        """A cancelled task that had been snoozed still shows its attempt."""
        claim = await a_claimed(broker)
        await end(broker, claim, Snoozed(NOW + 9))
        await execute_on(broker, claim.task.spec, Cancelled())
        assert (await stored_task(broker, claim.task.spec)).attempts == 1

    # - `Deleted` leaves nothing of it.

    @pytest.mark.parametrize("state", states_allowing(Deleted))
    async def test_a_deleted_task_leaves_nothing(self, broker: Broker, state: State) -> None:
        """No count, no page, no moment due and no id is left of it."""
        task = await bring_to(broker, state)
        assert await execute_on(broker, task, Deleted()) == Moved(State.GONE)
        await nothing_is_left(broker, task)
        assert await take(broker, now=NOW + 1e6) == []
        assert await sweep_all(broker, now=NOW + 1e9) == Swept()
