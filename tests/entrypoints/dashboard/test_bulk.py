"""Moves of many: asked for, frozen, carried out in the background, stopped and undone."""

import asyncio
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from qcore import Qcore
from qcore.dashboard import dashboard
from qcore.domain.states import State
from qcore.entrypoints.dashboard import jobs as module
from qcore.entrypoints.dashboard.pages.bulk import ASKS_ABOVE
from qcore.testing import ManualClock
from tests.entrypoints.dashboard.kit import Browser, a_queue, as_role, browser, put, read, text_of


async def several(q: Qcore, number: int, queue: str = "mail") -> None:
    """Enqueue some tasks."""
    for at in range(number):
        await put(q, id=f"{queue}-{at}", queue=queue, name="email:welcome")


def fields_of(response: httpx.Response, **more: Any) -> dict[str, Any]:
    """Return the fields that the form of a page which asks would send."""
    [form] = read(response).css("main form")
    fields: dict[str, Any] = {}
    for each in form.css('input[type="hidden"]'):
        fields.setdefault(str(each.attributes["name"]), []).append(each.attributes["value"])
    return {**fields, "confirm": "yes", **more}


async def ended(at: Browser, response: httpx.Response) -> str:
    """Follow an order to its job; return what the page of that says when it is over."""
    assert response.status_code == 303, response.text
    link = response.headers["location"]
    while True:
        page = text_of(read(await at.http.get(f"/{link}")))
        if "running" not in page and "stopping" not in page:
            return page
        await asyncio.sleep(0)


async def sizes(q: Qcore, queue: str = "mail") -> dict[State, int]:
    """Return how many tasks a queue has in each state that has any."""
    return dict((await q.inspector.counts()).get(queue, {}))


def advance(q: Qcore, seconds: float) -> None:
    """Let time pass."""
    assert isinstance(q.clock, ManualClock)
    q.clock.advance(seconds)


ALL_PENDING = {"verb": "discard", "which": "all", "state": "pending", "queue": "mail", "q": ""}


async def test_all_of_a_query_are_moved_after_a_page_has_asked() -> None:
    """It shows how many, and some of them; nothing is done before."""
    q = a_queue()
    await several(q, 30)
    await several(q, 2, "other")
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    text = text_of(read(asked))
    assert "Discard: 30 tasks?" in text
    assert "mail-0" in text
    assert "other-" not in text
    assert await sizes(q) == {State.PENDING: 30}
    page = await ended(at, await at.post("bulk", **fields_of(asked)))
    assert "Done 30 of 30" in page
    assert await sizes(q) == {State.ARCHIVED: 30}
    assert await sizes(q, "other") == {State.PENDING: 2}


async def test_what_comes_after_the_page_that_asked_is_not_touched() -> None:
    """The set is frozen at its moment, whenever somebody confirms it."""
    q = a_queue()
    await several(q, 3)
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    advance(q, 10)
    await put(q, id="late", queue="mail")
    await ended(at, await at.post("bulk", **fields_of(asked)))
    assert await sizes(q) == {State.ARCHIVED: 3, State.PENDING: 1}


async def test_those_that_are_ticked_are_moved_and_the_others_are_not() -> None:
    """The list has a box for each; what has gone meanwhile is skipped."""
    q = a_queue()
    await several(q, 3)
    at = browser(dashboard(q))
    html = await at.page("queue", queue="mail")
    boxes = [str(each.attributes["value"]) for each in html.css('input[name="task"]')]
    assert len(boxes) == 3
    asked = await at.post("bulk", verb="discard", which="ticked", task=boxes[:2])
    assert "Discard: 2 tasks?" in text_of(read(asked))
    await q.inspector.delete("mail", ["mail-0"])
    page = await ended(at, await at.post("bulk", **fields_of(asked)))
    assert "Done 1 of 2 Skipped 1" in page
    assert await sizes(q) == {State.ARCHIVED: 1, State.PENDING: 1}


async def test_the_state_of_each_task_is_checked_again() -> None:
    """Those that have been moved by somebody else since are not moved twice."""
    q = a_queue()
    await several(q, 3)
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    await q.inspector.cancel("mail", ["mail-1"])
    page = await ended(at, await at.post("bulk", **fields_of(asked)))
    assert "Done 2 of 3" in page
    assert await sizes(q) == {State.ARCHIVED: 2, State.DEAD: 1}


async def test_of_many_a_reason_is_asked() -> None:
    """Without one the page asks again, and nothing is done; the tasks keep it, with who it was."""
    q = a_queue()
    await several(q, ASKS_ABOVE + 1)
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    again = await at.post("bulk", **fields_of(asked))
    assert "a reason has to be given" in again.text
    assert await sizes(q) == {State.PENDING: ASKS_ABOVE + 1}
    page = await ended(at, await at.post("bulk", **fields_of(again, reason="a wrong import")))
    assert f"Done {ASKS_ABOVE + 1} of" in page
    assert "a wrong import" in text_of(await at.page("task", queue="mail", id="mail-7"))


async def test_what_was_discarded_can_be_brought_back_at_once() -> None:
    """All that this move has discarded, and nothing that another has; once."""
    q = a_queue()
    await several(q, 3)
    await q.inspector.discard("mail", ["mail-2"])
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    response = await at.post("bulk", **fields_of(asked))
    assert "Bring them back" in await ended(at, response)
    name = response.headers["location"].partition("id=")[2]
    page = await ended(at, await at.post("job-undo", id=name))
    assert "Done 2 of 2" in page
    assert await sizes(q) == {State.ARCHIVED: 1, State.PENDING: 2}
    assert (await at.post("job-undo", id=name)).status_code == 400


async def test_so_many_are_moved_and_no_more() -> None:
    """Ten first, to see what happens."""
    q = a_queue()
    await several(q, 12)
    at = browser(dashboard(q))
    asked = await at.post("bulk", **ALL_PENDING)
    page = await ended(at, await at.post("bulk", **fields_of(asked, limit="10")))
    assert "Done 10 of 10" in page
    assert await sizes(q) == {State.ARCHIVED: 10, State.PENDING: 2}


async def test_deleting_and_rescheduling_many_are_orders_too() -> None:
    """By the route of their right, and with a delay that the page asks for."""
    q = a_queue()
    for number in range(4):
        await put(q, id=f"mail-{number}", queue="mail", due=q.clock.now() + 60)
    at = browser(dashboard(q))
    later = {**ALL_PENDING, "verb": "reschedule", "state": "scheduled"}
    asked = await at.post("bulk", **later)
    refused = await at.post("bulk", **fields_of(asked, reason="x", delay="soon"))
    assert refused.status_code == 400
    await ended(at, await at.post("bulk", **fields_of(asked, delay="1h")))
    task = await q.inspector.get("mail", "mail-3")
    assert task is not None
    assert task.due == q.clock.now() + 3_600
    gone = {**ALL_PENDING, "verb": "delete", "state": "scheduled"}
    assert (await at.post("bulk", **gone)).status_code == 400
    asked = await at.post("bulk-delete", **gone)
    await ended(at, await at.post("bulk-delete", **fields_of(asked)))
    assert await sizes(q) == {}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({**ALL_PENDING, "state": "all"}, "choose one"),
        ({"verb": "run", "which": "ticked"}, "o task is ticked"),
        ({"verb": "run", "which": "ticked", "task": "mail"}, "expected a task of the list"),
        ({"verb": "explode", "which": "all"}, "expected one of"),
        (
            {**ALL_PENDING, "confirm": "yes", "reason": "x"},
            "the page before has named",
        ),
        (
            {**ALL_PENDING, "confirm": "yes", "reason": "x", "as_of": "nan"},
            "a number from 0 to",
        ),
        *(
            ({**ALL_PENDING, "confirm": "yes", "reason": "x", "as_of": "1", "pace": pace}, "ace is")
            for pace in ("-1", "1e-9", "nan", "inf")
        ),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(fields: dict[str, str], text: str) -> None:
    """With what was expected, and nothing is done."""
    q = a_queue()
    await several(q, 1)
    response = await browser(dashboard(q)).post("bulk", **fields)
    assert response.status_code == 400
    assert text in response.text
    assert await sizes(q) == {State.PENDING: 1}


async def test_a_move_of_many_reaches_no_queue_that_the_visitor_may_not_move() -> None:
    """All are those of their queues; one that is ticked elsewhere is not there."""
    q = a_queue()
    await several(q, 2, "mail")
    await several(q, 3, "pay")
    at = browser(as_role(q, {"task.read", "task.move@mail"}))
    asked = await at.post("bulk", verb="discard", which="all", state="pending")
    assert "2 tasks?" in asked.text
    await ended(at, await at.post("bulk", **fields_of(asked)))
    assert await sizes(q, "pay") == {State.PENDING: 3}
    ticked = {"verb": "discard", "task": "queue=pay&id=pay-0", "confirm": "yes"}
    assert (await at.post("bulk", **ticked)).status_code == 404
    assert await sizes(q, "pay") == {State.PENDING: 3}


async def begun(at: Browser, **more: str) -> str:
    """Begin a move of one task a second; return the name of its job after the first step."""
    asked = await at.post("bulk", **ALL_PENDING)
    response = await at.post("bulk", **fields_of(asked, pace="1", **more))
    name: str = response.headers["location"].partition("id=")[2]
    while True:
        if "Done 1 of" in text_of(await at.page("job", id=name)):
            return name
        await asyncio.sleep(0)


async def test_a_move_can_be_stopped() -> None:
    """After the step that it makes: what was done is done, and said."""
    q = a_queue()
    await several(q, 5)
    at = browser(dashboard(q))
    name = await begun(at)
    html = await at.page("job", id=name)
    assert html.css_first('noscript meta[http-equiv="refresh"]') is not None
    response = await at.post("job-stop", id=name)
    advance(q, 1.5)
    page = await ended(at, response)
    assert "stopped" in page
    assert await sizes(q) == {State.ARCHIVED: 2, State.PENDING: 3}
    assert "stopped" in text_of(await at.page("jobs"))
    assert (await at.page("job", id=name)).css_first("noscript") is None


async def test_the_end_of_the_dashboard_ends_its_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for its next step is cut off, and the log says how far it came."""
    monkeypatch.setattr(module, "GRACE", 0.01)
    q = a_queue()
    await several(q, 5)
    app = dashboard(q)
    at = browser(app)
    name = await begun(at, reason="too many")
    with capture_logs() as lines:
        await app.wait_closed()
    [line] = lines
    assert line["event"] == "a move of many has ended"
    assert (line["how"], line["done"], line["reason"]) == ("stopped", 1, "too many")
    assert "the dashboard has ended" in text_of(await at.page("job", id=name))
    assert await sizes(q) == {State.ARCHIVED: 1, State.PENDING: 4}


async def test_no_more_moves_run_at_a_time_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is refused, with what to do."""
    monkeypatch.setattr(module, "MOST_AT_A_TIME", 1)
    monkeypatch.setattr(module, "GRACE", 0.01)
    q = a_queue()
    await several(q, 3)
    app = dashboard(q)
    at = browser(app)
    await begun(at)
    asked = await at.post("bulk", **ALL_PENDING)
    response = await at.post("bulk", **fields_of(asked))
    assert response.status_code == 429
    assert "stop it" in response.text
    await app.wait_closed()


async def test_a_move_is_seen_by_who_began_it_and_who_may_do_the_same() -> None:
    """And not by those who may not see the tasks."""
    q = a_queue()
    await several(q, 1)
    rights: set[str] = {"*"}
    app = dashboard(q, access=lambda _: rights)
    at = browser(app)
    asked = await at.post("bulk", **ALL_PENDING)
    response = await at.post("bulk", **fields_of(asked))
    await ended(at, response)
    name = response.headers["location"].partition("id=")[2]
    assert "Discard" in text_of(await at.page("jobs"))
    rights = {"task.read@pay", "task.move@pay"}
    assert "Discard" not in text_of(await at.page("jobs"))
    html = await at.page("job", id=name)
    assert "is not known" in text_of(html)
    # of several processes of a server another may know it
    assert html.css("body")[0].attributes["data-live"] == "2"
    assert (await at.post("job-undo", id=name)).status_code == 303
    assert await sizes(q) == {State.ARCHIVED: 1}
