"""What was discarded can be brought back, by ids, by a filter and by a query."""

from datetime import timedelta
from typing import Any

import pytest

from qcore import Context, Retry, SkipRetry, State
from qcore.answers import Moved, NotAllowed
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.task_error import discarded_error, former_of
from qcore.domain.transitions import Archived, BroughtBack, Discarded
from qcore.testing import a_task, drain
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def errors(lab: Lab) -> dict[str, str | None]:
    """Return the errors of all tasks, by id."""
    return {task.id: task.error for task in (await lab.inspector.tasks(limit=2_000)).tasks}


async def test_a_task_by_its_id_is_set_aside_and_brought_back(lab: Lab) -> None:
    """It is due when it was, and its audit trail tells of both."""
    due = lab.clock.now() + 60
    await lab.client.enqueue(a_task(id="a", due=due))
    inspector = lab.inspector
    assert await inspector.discard("default", ["a"], reason="wrong") == [Moved(State.ARCHIVED)]
    assert await errors(lab) == {"a": "discarded while scheduled"}
    assert await inspector.bring_back("default", ["a"]) == [Moved(State.SCHEDULED)]
    task, details = await inspector.get("default", "a"), await inspector.details("default", "a")
    assert task is not None
    assert details is not None
    assert (task.due, task.error) == (due, None)
    assert [(each.action, each.reason) for each in details.audit] == [
        ("discard", "wrong"),
        ("bring back", None),
    ]


async def test_what_runs_or_is_completed_is_not_discarded(lab: Lab) -> None:
    """One is somebody's work in hand, the other goes by itself."""

    @lab.task("done", retention=timedelta(hours=1))
    async def done(ctx: Any) -> int:
        [answer] = await lab.inspector.discard("default", [ctx.task.id])
        assert answer == NotAllowed(State.ACTIVE)
        return 7

    handle = await done.enqueue()
    await drain(lab)
    assert await handle.result() == 7
    assert await lab.inspector.discard("default", [handle.id]) == [NotAllowed(State.COMPLETED)]


async def test_all_of_a_filter_come_back_and_no_others(lab: Lab) -> None:
    """What was archived otherwise stays, and is not counted."""
    now = lab.clock.now()
    await lab.client.enqueue_many([a_task(id=f"s{n}", due=now + 60) for n in range(600)])
    await lab.client.enqueue_many([a_task(id="archived"), a_task(id="dead")])
    await lab.inspector.archive("default", ["archived"])
    await lab.inspector.cancel("default", ["dead"], reason="no such mailbox")
    assert await lab.inspector.discard_all(state=State.SCHEDULED) == 600
    assert await lab.inspector.discard_all(state=State.DEAD) == 1
    assert await lab.inspector.totals() == {State.ARCHIVED: 602}
    assert (await errors(lab))["dead"] == "discarded while dead: no such mailbox"
    assert await lab.inspector.bring_back_all(state=State.ARCHIVED) == 601
    assert await lab.inspector.bring_back_all(state=State.ARCHIVED) == 0
    assert await lab.inspector.totals() == {
        State.SCHEDULED: 600,
        State.ARCHIVED: 1,
        State.DEAD: 1,
    }
    assert (await errors(lab))["dead"] == "no such mailbox"


async def test_all_of_a_query_come_back_and_no_others(lab: Lab) -> None:
    """The preview counts those that would move, and each is moved once."""
    await lab.client.enqueue_many([a_task(id=f"{n}", name="mail") for n in range(700)])
    await lab.client.enqueue(a_task(id="other", name="sms"))
    await lab.inspector.archive("default", ["other"])
    for state in ("pending", "archived"):
        # those that are discarded already are passed over
        query = f"state:{state} name:mail"
        preview = await lab.inspector.preview(query, Discarded())
        assert preview.count == (700 if state == "pending" else 0)
        steps = [each async for each in lab.inspector.move(query, Discarded())]
        assert steps[-1].done == preview.count
    preview = await lab.inspector.preview('state:archived error:"discarded while"', BroughtBack())
    assert preview.count == 700
    steps = [each async for each in lab.inspector.move("state:archived", BroughtBack())]
    assert (steps[-1].done, steps[-1].skipped) == (700, 0)
    assert await lab.inspector.totals() == {State.PENDING: 700, State.ARCHIVED: 1}


async def test_what_a_handler_says_is_not_taken_for_where_its_task_was(lab: Lab) -> None:
    """An error that begins as that of a discarded task does is marked as the handler's own."""
    error = "discarded while pending: x"

    @lab.task("dead")
    async def dead(_: Context) -> None:
        raise SkipRetry(error)

    @lab.task("archived", max_retry=0)
    async def archived(_: Context) -> None:
        raise Retry(error)

    ids = [(await each.enqueue()).id for each in (dead, archived)]
    await drain(lab)
    assert await errors(lab) == dict.fromkeys(ids, f"error: {error}")
    assert await lab.inspector.bring_back_all(state=State.ARCHIVED) == 0
    await lab.inspector.discard("default", ids)
    assert (await errors(lab))[ids[0]] == f"discarded while dead: error: {error}"
    assert await lab.inspector.bring_back("default", ids) == [
        Moved(State.DEAD),
        Moved(State.ARCHIVED),
    ]


async def test_a_reason_for_archiving_is_not_taken_for_where_a_task_was(lab: Lab) -> None:
    """An operator's text is marked, as a handler's is."""
    await lab.client.enqueue(a_task(id="a"))
    await lab.inspector.archive("default", ["a"], reason="discarded while retry")
    assert await errors(lab) == {"a": "error: discarded while retry"}
    assert Archived("moving from a to b (pending)").reason == "moving from a to b (pending)"
    assert await lab.inspector.bring_back("default", ["a"]) == [Moved(State.ARCHIVED)]


@pytest.mark.parametrize(
    ("error", "former"),
    [
        (None, (None, None)),
        ("", (None, "")),
        ("timed out", (None, "timed out")),
        ("discarded while", (None, "discarded while")),
        ("discarded while running: no", (None, "discarded while running: no")),
        ("discarded while gone", (None, "discarded while gone")),
        ("discarded while dead", (State.DEAD, None)),
        ("discarded while dead: ", (State.DEAD, "")),
        ("discarded while retry: a: b", (State.RETRY, "a: b")),
    ],
)
def test_an_error_says_where_a_task_was(
    error: str | None, former: tuple[State | None, str | None]
) -> None:
    """Any text that does not is an error of the task's own."""
    assert former_of(error) == former


@pytest.mark.parametrize("error", [None, "", "no", "a: b", "discarded while gone: x"])
@pytest.mark.parametrize(
    "state", [each for each in State if each not in {State.ACTIVE, State.COMPLETED, State.GONE}]
)
def test_what_is_written_of_a_discarded_task_is_read_again(state: State, error: str | None) -> None:
    """And a second time changes nothing."""
    written = discarded_error(state, error, 1.0)
    assert former_of(written) == (state, error)
    assert discarded_error(State.ARCHIVED, written, 1.0) == written


def test_a_successor_comes_back_as_a_task_of_its_own() -> None:
    """It waits for the end of no other: else it would wait for ever."""
    assert discarded_error(State.SCHEDULED, None, LAST_MOMENT) == "discarded while pending"


async def test_what_comes_back_does_not_take_its_unique_key_again(lab: Lab) -> None:
    """Another task may have had it meanwhile, and both are stored then."""
    now = lab.clock.now()
    for task in ("first", "second"):
        await lab.client.enqueue(a_task(id=task, unique_key="k", unique_for=60, due=now + 9))
        await lab.inspector.discard("default", [task])
        await lab.inspector.bring_back("default", [task])
    assert await lab.inspector.totals() == {State.SCHEDULED: 2}
