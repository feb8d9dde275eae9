"""A task is changed by a form, and enqueued again; what is masked stays what it is."""

import json
from typing import Any

import pytest
from hypothesis import given

from qcore import Context, Qcore
from qcore.dashboard import dashboard
from qcore.domain.states import State
from qcore.domain.task import Task
from qcore.entrypoints.dashboard.masking import HIDDEN, Mask
from qcore.entrypoints.dashboard.refusals import BadRequest
from qcore.entrypoints.dashboard.unmasking import as_text, from_text
from qcore.testing.builders import NOW
from tests.entrypoints.dashboard.kit import a_queue, browser, put
from tests.entrypoints.dashboard.test_masking import plain

ARGUMENTS = {"user": {"id": 2**70, "name": "Ann"}, "password": "hunter2", "url": "http://a:pw@b/"}


async def a_waiting_task(q: Qcore, **options: Any) -> Task:
    """Return a task that waits, with arguments of which some are masked."""
    task = await put(q, payload=json.dumps(ARGUMENTS).encode(), due=NOW + 60, **options)
    return await the_task(q, task.id)


async def the_task(q: Qcore, task: str) -> Task:
    """Return a task as it is stored."""
    found = await q.inspector.get("default", task)
    assert found is not None
    return found


async def fields_of(q: Qcore, task: Task) -> dict[str, str]:
    """Return the fields of the form for a task, as a browser would send them unchanged."""
    html = await browser(dashboard(q)).page("task-edit", queue="default", id=task.id)
    form = html.css("form.edit")[0]
    fields = {
        str(each.attributes["name"]): str(each.attributes.get("value") or "")
        for each in form.css("input")
    }
    return fields | {"arguments": form.css("textarea")[0].text()}


async def test_arguments_are_changed_and_what_is_masked_stays_what_it_was() -> None:
    """The form never has it; the other options of the task stay, too."""
    q = a_queue()
    task = await a_waiting_task(q, tags=("eu",))
    fields = await fields_of(q, task)
    assert "hunter2" not in str(fields)
    assert "pw" not in fields["arguments"].replace("password", "")
    fields["arguments"] = fields["arguments"].replace("Ann", "Änne")
    response = await browser(dashboard(q)).post("task-edit", **{**fields, "reason": "a typo"})
    assert response.status_code == 303
    changed = await the_task(q, task.id)
    assert json.loads(changed.spec.payload) == {**ARGUMENTS, "user": {"id": 2**70, "name": "Änne"}}
    assert (changed.due, changed.spec.tags) == (task.due, ("eu",))
    details = await q.inspector.details("default", task.id)
    assert details is not None
    [order] = details.audit
    assert (order.action, order.reason, order.detail) == (
        "update",
        "a typo",
        "content_type, payload",
    )


async def test_a_form_that_is_sent_unchanged_changes_nothing() -> None:
    """Not the spaces of the payload either."""
    q = a_queue()
    task = await a_waiting_task(q)
    await browser(dashboard(q)).post("task-edit", **await fields_of(q, task))
    assert await the_task(q, task.id) == task


async def test_options_are_changed() -> None:
    """Within their bounds."""
    q = a_queue()
    task = await a_waiting_task(q)
    at = browser(dashboard(q))
    fields = await fields_of(q, task)
    await at.post("task-edit", **{**fields, "priority": "7", "max_retry": "0"})
    changed = await the_task(q, task.id)
    assert (changed.spec.priority, changed.spec.max_retry) == (7, 0)
    assert changed.spec.payload == task.spec.payload
    fields = await fields_of(q, changed)
    response = await at.post("task-edit", **{**fields, "priority": "1001"})
    assert response.status_code == 400


async def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten() -> None:
    """The form says which task it has seen."""
    q = a_queue()
    task = await a_waiting_task(q)
    fields = await fields_of(q, task)
    await q.inspector.update("default", [task.id], priority=3)
    at = browser(dashboard(q))
    response = await at.post("task-edit", **{**fields, "priority": "7"})
    assert "changed meanwhile" in (await at.get(response.headers["location"])).text
    assert (await the_task(q, task.id)).spec.priority == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"a": NaN}', f'{{"new": "{HIDDEN}"}}', "[" * 9_999]
)
async def test_arguments_that_make_no_sense_change_nothing(text: str) -> None:
    """400, in one line; an empty field leaves them as they are."""
    q = a_queue()
    task = await a_waiting_task(q)
    fields = await fields_of(q, task)
    response = await browser(dashboard(q)).post("task-edit", **{**fields, "arguments": text})
    assert response.status_code == (400 if text else 303)
    assert await the_task(q, task.id) == task


async def test_arguments_that_the_handler_does_not_take_are_refused() -> None:
    """Where the application's code is known: as `enqueue` would refuse them."""
    q = a_queue()

    @q.task("greet")
    async def greet(ctx: Context, whom: str) -> None: ...

    task = await put(q, name="greet", payload=b'{"whom": "Ann"}', due=NOW + 60)
    fields = await fields_of(q, await the_task(q, task.id))
    at = browser(dashboard(q))
    response = await at.post("task-edit", **{**fields, "arguments": '{"whom": 7}'})
    assert response.status_code == 400
    assert "whom" in response.text


async def test_a_task_that_runs_or_has_completed_cannot_be_edited() -> None:
    """Its page has no such button, and the form is refused."""
    q = a_queue()
    task = await put(q)
    await q.inspector.cancel("default", [task.id])
    at = browser(dashboard(q))
    assert (await at.get("task-edit", queue="default", id=task.id)).status_code == 200
    done = await put(q, id="gone")
    await q.inspector.delete("default", [done.id])
    assert (await at.get("task-edit", queue="default", id=done.id)).status_code == 404


async def test_a_task_that_has_ended_is_enqueued_again() -> None:
    """With another id, its arguments and options, and without the moments that are over."""
    q = a_queue()
    task = await a_waiting_task(q, tags=("eu",), expires=NOW + 90, deadline=NOW + 90, priority=3)
    at = browser(dashboard(q))
    response = await at.post("task-again", queue="default", id=task.id)
    assert response.status_code == 400
    await q.inspector.cancel("default", [task.id])
    response = await at.post("task-again", queue="default", id=task.id)
    assert response.status_code == 303
    [made] = (await q.inspector.browse("default", State.PENDING)).tasks
    assert made.id != task.id
    assert (made.spec.payload, made.spec.tags, made.spec.priority) == (
        task.spec.payload,
        ("eu",),
        3,
    )
    assert made.spec.expires is made.spec.deadline is None
    assert (await the_task(q, task.id)).state is State.DEAD


async def test_a_unique_task_is_not_enqueued_twice() -> None:
    """The page says which task has its key."""
    q = a_queue()
    task = await put(q, unique_key="k")
    await q.inspector.cancel("default", [task.id])
    other = await put(q, unique_key="k")
    at = browser(dashboard(q))
    response = await at.post("task-again", queue="default", id=task.id)
    html = await at.page(response.headers["location"])
    assert other.id in html.css(".said.bad")[0].text()


@given(plain)
def test_what_a_form_shows_comes_back_as_what_it_was(data: Any) -> None:
    """Masked or not, wherever it is nested."""
    arguments = {"a": data, "password": data, "list": [{"token": data}, data]}
    mask = Mask()
    text = as_text(arguments, mask)
    assert text is not None
    assert from_text(text, arguments, mask) == arguments


def test_a_masked_value_in_another_place_is_refused() -> None:
    """It would be stored as dots."""
    with pytest.raises(BadRequest, match="stands for a masked value"):
        from_text(f'{{"moved": "{HIDDEN}"}}', {"password": "x"}, Mask())


@pytest.mark.parametrize("data", [b"x", None, [1], {"a": float("nan")}, {1: 2}, {"a": {1, 2}}])
def test_what_is_no_json_object_is_not_edited(data: Any) -> None:
    """It would come back as something else."""
    assert as_text(data, Mask()) is None
