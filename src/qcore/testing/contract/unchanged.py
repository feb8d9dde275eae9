"""Cases that a transition changes of a task what is promised, and nothing else of it."""

from typing import Final

from attrs import asdict, define, evolve, fields

from qcore.domain.effects import apply
from qcore.domain.lifecycle import MOVES
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.run_details import AttemptError, Details, DetailsUpdate, Progress, after
from qcore.domain.states import State
from qcore.domain.task import Claim, Task, changed, updated
from qcore.domain.transitions import (
    Archived,
    BroughtBack,
    Cancelled,
    Command,
    Crashed,
    Discarded,
    Exhausted,
    Failed,
    Rejected,
    Released,
    Rescheduled,
    RunNow,
    Snoozed,
    Succeeded,
    Transition,
    Updated,
)
from qcore.ports import Broker
from qcore.testing.builders import LEASE, NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.states import ENDED, LATER, REACHABLE
from qcore.testing.contract.steps import (
    a_claimed,
    end,
    execute_on,
    stored_task,
    sweep_all,
    take,
    take_one,
)
from qcore.testing.contract.task_examples import all_examples

AFTERWARDS: Final = LATER + 5.125
VERDICTS: Final[tuple[Transition, ...]] = (
    Succeeded(b"1", "a/b"),
    Failed("third", AFTERWARDS + 0.123, worker="w"),
    Failed("busy", AFTERWARDS, burns=False),
    Exhausted("third", "w", " at\n"),
    Rejected("third"),
    Snoozed(AFTERWARDS + 0.123),
    Released(),
    Crashed("third"),
    Cancelled("third"),
)
COMMANDS: Final[tuple[Command, ...]] = (
    RunNow(),
    Archived("set aside"),
    Cancelled("not wanted"),
    Discarded(),
    BroughtBack(),
    Rescheduled(AFTERWARDS + 0.123),
    updated(priority=7, tags=("new",)),
)


@define
class _Copy:
    """The attributes of a task that `effects.apply` changes."""

    spec: NewTask
    state: State
    due: Moment
    failures: int
    crashes: int
    error: str | None
    result: bytes | None
    result_type: str | None
    unhandled_since: Moment | None


def expected(before: Task, event: Transition, now: Moment) -> Task:
    """Return a task as a transition has to leave it."""
    copy = _Copy(*(getattr(before, field.name) for field in fields(_Copy)))
    state = apply(copy, event, now)
    changes = asdict(copy, recurse=False)
    if state is not before.state or isinstance(event, Discarded | BroughtBack):
        changes.update(state=state, finished=now if state in ENDED else None)
    if isinstance(event, Updated):
        changes["spec"] = changed(before.spec, event)
    elif isinstance(event, RunNow):
        changes["spec"] = evolve(before.spec, expires=None)
    return evolve(before, **changes)


async def with_a_past(broker: Broker, state: State, queue: str) -> Claim:
    """Bring a task of which everything is set that can be into a state; return its last claim."""
    asked = all_examples("id", "due")
    asked.update(queue=queue, max_crashes=9, retention=3_600.0)
    claim = await a_claimed(broker, task := a_task(**asked))
    progress = Progress(NOW, 0.5, "half")
    await broker.save_details([DetailsUpdate(claim.lease, progress, b"so far")])
    await end(broker, claim, Failed("first", NOW, worker="w", traceback=" at\n"))
    await end(broker, await take_one(broker, queue), Crashed("second"))
    await end(broker, await take_one(broker, queue), Snoozed(LATER, unhandled=True))
    errors = AttemptError(NOW, 1, "first", "w", " at\n"), AttemptError(NOW, 2, "second")
    assert await seen(broker, task) == (
        Task(task, State.SCHEDULED, NOW, LATER, 3, 1, 1, "second", unhandled_since=NOW),
        Details(errors, progress, b"so far"),
    )
    match state:
        case State.PENDING:
            await take(broker, 0, queue, now=LATER)
        case State.ARCHIVED:
            await execute_on(broker, task, Archived("by hand"))
        case State.DEAD:
            await execute_on(broker, task, Cancelled("by hand"))
        case State.ACTIVE | State.RETRY | State.COMPLETED:
            claim = await take_one(broker, queue, now=LATER)
            if state is State.RETRY:
                await end(broker, claim, Failed("third", LATER + 60))
            if state is State.COMPLETED:
                await end(broker, claim, Succeeded(b"0", "c/d"))
        case _:
            pass
    assert (await stored_task(broker, task)).state is state
    return claim


async def seen(broker: Broker, task: NewTask) -> tuple[Task, Details]:
    """Return all that a broker shows of a task."""
    (details,) = await broker.details(task.queue, [task.id])
    assert details is not None, f"{task.id} has no details"
    return await stored_task(broker, task), details


class UnchangedCases(Cases):
    """A task with a past keeps it."""

    # - Everything else of a task stays as it was: what was asked for, when it was created, its
    #   attempts, its counts, its saved work, and its error, but that `Succeeded` clears it.

    async def test_a_verdict_changes_nothing_else(self, broker: Broker) -> None:
        """Whatever the verdict, headers, counts, errors and saved work outlast it."""
        for n, outcome in enumerate(VERDICTS):
            claim = await with_a_past(broker, State.ACTIVE, f"queue-{n}")
            before, details = await seen(broker, claim.task.spec)
            await end(broker, claim, outcome, now=AFTERWARDS)
            left = after(details, outcome, before.attempts, AFTERWARDS)
            shown = await seen(broker, claim.task.spec)
            assert shown == (expected(before, outcome, AFTERWARDS), left), outcome

    async def test_a_lost_worker_changes_nothing_else(self, broker: Broker) -> None:
        """What a sweep takes back has one crash more, and all that it had."""
        claim = await with_a_past(broker, State.ACTIVE, "queue")
        before, details = await seen(broker, claim.task.spec)
        now = LATER + LEASE
        await sweep_all(broker, "queue", now=now)
        left = after(details, Crashed(), before.attempts, now)
        assert await seen(broker, claim.task.spec) == (expected(before, Crashed(), now), left)

    # - Everything else of a task stays as it was, also the details of its runs.

    async def test_a_command_changes_nothing_else(self, broker: Broker) -> None:
        """In whatever state the task is, ended or not."""
        cells = [(s, each) for s in REACHABLE for each in COMMANDS if type(each) in MOVES[s]]
        for n, (state, command) in enumerate(cells):
            task = (await with_a_past(broker, state, f"queue-{n}")).task.spec
            before, details = await seen(broker, task)
            await execute_on(broker, task, command, now=AFTERWARDS)
            shown = await seen(broker, task)
            assert shown == (expected(before, command, AFTERWARDS), details), f"{state}, {command}"
