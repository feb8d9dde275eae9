"""Tasks go to another queue, and have another priority, one by one and many at a time."""

from qcore import Qcore
from qcore.dashboard import dashboard
from qcore.domain.states import State
from tests.entrypoints.dashboard.hostile import QUEUE as HOSTILE
from tests.entrypoints.dashboard.hostile import SECRET, id_of
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, read, text_of
from tests.entrypoints.dashboard.test_bulk import ended, fields_of, several, sizes
from tests.entrypoints.dashboard.walking import hostile_store

ONE = {"queue": "mail", "id": "mail-0", "verb": "move"}
MANY = {"verb": "move", "which": "all", "state": "pending", "queue": "mail", "q": ""}


async def filled() -> Qcore:
    """Return a queue with three tasks in `mail` and one in `slow`."""
    q = a_queue()
    await several(q, 3)
    await put(q, queue="slow", id="other")
    return q


async def test_a_task_goes_to_a_queue_after_a_page_has_asked_for_it() -> None:
    """The page offers the queues that there are; who did it and why is on the task's own."""
    q = await filled()
    at = browser(dashboard(q))
    asked = await at.post("task-move", **ONE)
    html = read(asked)
    assert [each.attributes["value"] for each in html.css("datalist option")] == ["mail", "slow"]
    assert "qcore task move mail-0 --queue mail --to QUEUE" in text_of(html)
    done = await at.post("task-move", **fields_of(asked, to="slow", reason="mail is full"))
    page = text_of(read(await at.http.get(f"/{done.headers['location']}")))
    assert "mail-0 is pending." in page
    assert "mail is full · to slow" in page
    assert await sizes(q, "slow") == {State.PENDING: 2}


async def test_what_is_masked_goes_to_a_queue_as_it_is() -> None:
    """A move writes what it has read, so it reads more than a page may show."""
    q = await hostile_store()
    task = id_of(State.DEAD)
    before = await q.inspector.get(HOSTILE, task), await q.inspector.details(HOSTILE, task)
    assert SECRET in str(before)
    at = browser(dashboard(q))
    await at.post("task-move", queue=HOSTILE, id=task, verb="move", confirm="yes", to="one")
    fields = {"verb": "move", "which": "all", "state": "dead", "queue": "one", "q": ""}
    await ended(at, await at.post("bulk", **fields_of(await at.post("bulk", **fields), to="two")))
    after = await q.inspector.get("two", task), await q.inspector.details("two", task)
    assert before[0] is not None
    assert before[1] is not None
    assert after[0] is not None
    assert after[1] is not None
    assert (after[0].spec.payload, after[0].spec.headers, after[0].error) == (
        before[0].spec.payload,
        before[0].spec.headers,
        before[0].error,
    )
    assert after[1].errors == before[1].errors


async def test_all_of_a_query_go_to_a_queue() -> None:
    """Those that are there already, or whose id is, do not count as moved."""
    q = await filled()
    await put(q, queue="slow", id="mail-1")
    at = browser(dashboard(q))
    asked = await at.post("bulk", **MANY)
    assert "Move to a queue: 3 tasks?" in text_of(read(asked))
    page = await ended(at, await at.post("bulk", **fields_of(asked, to="slow")))
    assert "Done 2 of 3" in page
    assert await sizes(q) == {State.PENDING: 1}
    assert await sizes(q, "slow") == {State.PENDING: 4}


async def test_what_is_ticked_goes_to_a_queue() -> None:
    """What has an id there already is refused, and told so."""
    q = await filled()
    await put(q, queue="slow", id="mail-1")
    at = browser(dashboard(q))
    ticked = [f"queue=mail&id=mail-{each}" for each in range(2)]
    asked = await at.post("bulk", verb="move", task=ticked)
    page = await ended(at, await at.post("bulk", **fields_of(asked, to="slow")))
    assert "Done 1 of 2" in page
    assert "Failed 1 refused by the store" in page


async def test_a_right_for_both_queues_is_asked_for() -> None:
    """Nothing goes where somebody may not move tasks, nor is such a queue offered."""
    q = await filled()
    at = browser(as_role(q, {"*.read", "task.move@mail"}))
    asked = await at.post("task-move", **ONE)
    assert [each.attributes["value"] for each in read(asked).css("datalist option")] == ["mail"]
    given = fields_of(asked, to="slow")
    assert (await at.post("task-move", **given)).status_code == 404
    given = fields_of(await at.post("bulk", **MANY), to="slow")
    assert (await at.post("bulk", **given)).status_code == 404
    assert await sizes(q) == {State.PENDING: 3}


async def test_a_queue_of_no_name_is_refused() -> None:
    """The page says what is missing."""
    q = await filled()
    at = browser(dashboard(q))
    for to in ("", "x" * 999, "with blanks"):
        response = await at.post("task-move", **ONE, confirm="yes", to=to)
        assert response.status_code == 400, to
    assert await sizes(q) == {State.PENDING: 3}


async def test_many_have_another_priority() -> None:
    """Whole numbers in their bounds; those that have it already are no task of it."""
    q = await filled()
    at = browser(dashboard(q))
    fields = {**MANY, "verb": "update"}
    given = fields_of(await at.post("bulk-edit", **fields))
    for wrong in ("", "x", "1.5", "9" * 15):
        assert (await at.post("bulk-edit", **given | {"priority": wrong})).status_code == 400
    page = await ended(at, await at.post("bulk-edit", **given | {"priority": "7"}))
    assert "Done 3 of 3" in page
    found = (await q.inspector.browse("mail", State.PENDING)).tasks
    assert {each.spec.priority for each in found} == {7}
    assert (await at.post("bulk", **fields)).status_code == 400
