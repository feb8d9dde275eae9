"""Cases of the audit trail: what a task keeps of the commands that operators gave it."""

from typing import Final

from attrs import evolve

from qcore.domain.answers import Moved, NotAllowed
from qcore.domain.audit import (
    MAX_AUDIT,
    MAX_BY,
    MAX_REASON,
    AuditRecord,
    audit_record,
)
from qcore.domain.lifecycle import MOVES
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import AttemptError, Details
from qcore.domain.states import State
from qcore.domain.task import updated
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Deleted,
    Discarded,
    Failed,
    Rescheduled,
    RunNow,
)
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.run_details import HALF, jot, learn
from qcore.testing.contract.states import LATER, REACHABLE, bring_to
from qcore.testing.contract.steps import a_claimed, end, execute_on, put, take_one

COMMANDS: Final[tuple[Command, ...]] = (
    RunNow(),
    Archived("set aside"),
    Cancelled("not wanted"),
    Discarded(),
    BroughtBack(),
    Rescheduled(LATER + 60),
    updated(priority=7, tags=("new",)),
)
ANN: Final = "ann@laptop"


async def keep(broker: Broker, task: NewTask) -> list[str | None]:
    """Return the reasons in a task's audit trail."""
    return [each.reason for each in (await learn(broker, task)).audit]


class AuditCases(Cases):
    """Who did what to a task, and why."""

    # - A command that says `by` whom it is adds an `AuditRecord` to the details of each task
    #   that it has moved, in the same step; one that does not say so adds none.

    async def test_a_command_by_somebody_is_recorded(self, broker: Broker) -> None:
        """When, what, by whom and why, in whatever state the task was."""
        cells = [(s, each) for s in REACHABLE for each in COMMANDS if type(each) in MOVES[s]]
        for n, (state, command) in enumerate(cells):
            task = await bring_to(broker, state, a_task(queue=f"queue-{n}"))
            before = await learn(broker, task)
            order = evolve(command, by=ANN, reason="it was asked for")
            await execute_on(broker, task, order, now=NOW + 9)
            added = audit_record(order, NOW + 9)
            assert added is not None
            assert (added.at, added.by, added.reason) == (NOW + 9, ANN, "it was asked for")
            expected = evolve(before, audit=(added,))
            assert await learn(broker, task) == expected, f"{state}, {command}"

    async def test_a_command_by_nobody_is_not_recorded(self, broker: Broker) -> None:
        """Code that cancels what is its own need not say so, and pays nothing for it."""
        await put(broker, task := a_task())
        await execute_on(broker, task, Rescheduled(LATER, reason="later"))
        await execute_on(broker, task, Cancelled("not wanted"))
        assert await learn(broker, task) == Details()

    async def test_only_what_was_moved_has_a_record(self, broker: Broker) -> None:
        """An order that is not allowed leaves none; an id named twice gets what was done twice."""
        active = await bring_to(broker, State.ACTIVE)
        await put(broker, one := a_task(), two := a_task())
        asked = [one.id, active.id, "missing", two.id, one.id]
        order = Rescheduled(LATER, ANN, "why")
        answers = await broker.execute("default", asked, order, now=NOW)
        assert [type(each) for each in answers].count(Moved) == 3
        assert answers[1] == NotAllowed(State.ACTIVE)
        assert await keep(broker, active) == []
        assert await keep(broker, two) == ["why"]
        assert await keep(broker, one) == ["why", "why"]

    async def test_an_update_of_an_id_twice_is_recorded_twice(self, broker: Broker) -> None:
        """As any other command is, although the second one changes nothing."""
        await put(broker, task := a_task())
        order = evolve(updated(priority=3), by=ANN, reason="why")
        await broker.execute("default", [task.id, task.id], order, now=NOW)
        assert await keep(broker, task) == ["why", "why"]

    async def test_many_are_recorded_in_one_call(self, broker: Broker) -> None:
        """Each of them, also beyond what a store does in one step."""
        tasks = [a_task() for _ in range(150)]
        await put(broker, *tasks)
        ids = [task.id for task in tasks]
        for reason in ("first", "second"):
            await broker.execute("default", ids, Rescheduled(LATER, ANN, reason), now=NOW)
        found = await broker.details("default", ids)
        kept = [[each.reason for each in it.audit] for it in found if it is not None]
        assert kept == [["first", "second"]] * 150

    async def test_what_a_record_says_is_bounded(self, broker: Broker) -> None:
        """Texts are cut to what is kept, on one line, whatever somebody has pasted."""
        await put(broker, task := a_task())
        by, reason = "é|" * 100, "line\none \udcff\0\x1b[2J " + "x" * 10_000
        await execute_on(broker, task, Rescheduled(LATER, by, reason))
        (record,) = (await learn(broker, task)).audit
        assert len(record.by) == MAX_BY
        assert record.by.startswith("é|é|")
        assert record.reason is not None
        assert len(record.reason) == MAX_REASON
        assert record.reason.startswith("line one \\udcff\\0�[2J xxx")

    # - The last twenty records of its audit trail, the oldest first.

    async def test_the_last_twenty_records_are_kept(self, broker: Broker) -> None:
        """Of twenty-two commands the first two are forgotten."""
        await put(broker, task := a_task())
        for n in range(22):
            await execute_on(broker, task, Rescheduled(LATER + n, ANN, f"no {n}"), now=NOW + n)
        audit = (await learn(broker, task)).audit
        assert len(audit) == MAX_AUDIT
        assert [each.reason for each in audit] == [f"no {n}" for n in range(2, 22)]
        assert [each.at for each in audit] == [NOW + n for n in range(2, 22)]

    async def test_records_outlast_runs(self, broker: Broker) -> None:
        """Neither errors, nor progress, nor saved work take their place."""
        task = await bring_to(broker, State.SCHEDULED)
        await execute_on(broker, task, RunNow(ANN, "now"))
        claim = await take_one(broker)
        await jot(broker, claim, progress=HALF, saved=b"so far")
        await end(broker, claim, Failed("no", again_at=NOW))
        record = AuditRecord(NOW, "run", ANN, "now")
        fault = AttemptError(NOW, 1, "no")
        assert await learn(broker, task) == Details((fault,), HALF, b"so far", (record,))

    async def test_records_are_gone_with_their_task(self, broker: Broker) -> None:
        """A task of its id that comes later has none: replaced, or after it was deleted."""
        task = a_task(id="same")
        await end(broker, await a_claimed(broker, task), Failed("no", again_at=NOW))
        await execute_on(broker, task, Cancelled(by=ANN))
        assert await keep(broker, task) == [None]
        await put(broker, task)
        assert await learn(broker, task) == Details()
        await execute_on(broker, task, Archived(by=ANN))
        await execute_on(broker, task, Deleted(by=ANN))
        await put(broker, task)
        assert await learn(broker, task) == Details()
