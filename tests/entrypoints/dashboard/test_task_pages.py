"""Lists of tasks, one task, and the orders that it takes."""

import json
from typing import Any

import pytest

from qcore import Context, Qcore, SkipRetry, chain
from qcore.dashboard import ALL, Visitor, dashboard
from qcore.domain.states import State
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Exhausted
from qcore.domain.workers import RunningTask
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.settings import settings_of
from qcore.events import Event, Operated
from qcore.testing import ManualClock, drain
from qcore.testing.builders import NOW, a_demand
from tests.entrypoints.dashboard.kit import Browser, a_queue, as_role, browser, put, read, text_of
from tests.entrypoints.dashboard.test_overview import with_a_worker


def payload(**arguments: Any) -> bytes:
    """Return the payload of arguments."""
    return json.dumps(arguments).encode()


async def a_failed_task(q: Qcore) -> str:
    """Return the id of a task that has failed twice."""

    @q.task("email:welcome", queue="mail", max_retry=3, tags=["eu"])
    async def welcome(ctx: Context, user: dict[str, Any]) -> None:
        ctx.progress(0.25, "a quarter")
        raise ConnectionError(f"attempt {ctx.attempt}: mailbox of {user['name']} is away")

    made = await welcome.enqueue(user={"id": 2**70, "name": "Ann", "password": "hunter2"})
    await drain(q, until=NOW + 40)
    return made.id


# --- lists -------------------------------------------------------------------------------------


async def test_a_query_in_the_url_selects_tasks() -> None:
    """And stands in the field, so that it can be changed, and in the command."""
    q = a_queue()
    await put(q, id="a", name="email:welcome", payload=payload(user={"id": 7}))
    await put(q, id="b", name="email:welcome", payload=payload(user={"id": 8}))
    html = await browser(dashboard(q)).page("tasks", q="name:email:* args.user.id:7")
    assert [each.text() for each in html.css("tbody .id")] == ["a"]
    assert html.css('input[name="q"]')[0].attributes["value"] == "name:email:* args.user.id:7"
    command = html.css("footer code")[0].text()
    assert command == "qcore tasks list 'name:email:* args.user.id:7'"


async def test_the_tabs_of_a_queue_say_how_many_tasks_are_in_each_state() -> None:
    """And lead to them, with the query that there is."""
    q = a_queue()
    await put(q, queue="mail")
    await put(q, queue="mail", due=NOW + 60)
    await put(q, queue="other")
    html = await browser(dashboard(q)).page("queue", queue="mail", q="attempts:0")
    tabs = {each.text().split()[0]: each for each in html.css(".tabs a")}
    assert tabs["All"].text().split()[1] == "2"
    assert tabs["Scheduled"].text().split()[1] == "1"
    assert tabs["Scheduled"].attributes["href"] == "queue?state=scheduled&q=attempts%3A0&queue=mail"
    html = await browser(dashboard(q)).page("queue", queue="mail", state="scheduled")
    assert [each.text() for each in html.css("tbody .state")] == ["scheduled"]


async def test_a_list_goes_on_by_a_cursor() -> None:
    """Until each task was there once."""
    q = a_queue()
    for number in range(5):
        await put(q, id=str(number))
    at = browser(dashboard(q))
    html = await at.page("tasks", limit=2)
    ids = [each.text() for each in html.css("tbody .id")]
    while following := html.css('a[rel="next"]'):
        html = await at.page(f"{following[0].attributes['href']}&limit=2")
        ids += [each.text() for each in html.css("tbody .id")]
    assert ids == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"q": "nonsense"},
        {"q": "state:nowhere"},
        {"q": "created:>yesterday"},
        {"state": "gone"},
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"cursor": "nonsense"},
    ],
    ids=str,
)
async def test_a_value_that_makes_no_sense_is_400_and_says_what_was_expected(
    parameters: dict[str, str],
) -> None:
    """On a page, with a way back."""
    response = await browser(dashboard(a_queue())).get("tasks", **parameters)
    assert response.status_code == 400
    assert "xpected" in response.text
    assert 'href="./"' in response.text


@pytest.mark.parametrize("path", ["tasks", "queue", "errors", "chains"])
async def test_a_query_that_cannot_be_read_stays_in_its_box(path: str) -> None:
    """To be mended there, in the list that was asked for; with what is wrong."""
    q = a_queue()
    await put(q, queue="mail")
    query = "name:email:* agrs.user:7"
    response = await browser(dashboard(q)).get(path, queue="mail", state="all", q=query)
    assert response.status_code == 400
    html = read(response)
    assert html.css('input[name="q"]')[0].attributes["value"] == query
    [form] = html.css("form.query")
    assert form.attributes["action"] == path
    assert form.css('input[name="queue"]')[0].attributes["value"] == "mail"
    assert "The query has 'agrs.user:7'" in text_of(html)
    assert html.css(".failure a")[-1].attributes["href"] == f"{path}?queue=mail&state=all"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("a", "id:a"), (' b "c', 'id:"b \\"c"'), ("name:", None), ("<b>", 'id:"<b>"')],
)
async def test_a_word_alone_leads_to_the_query_that_may_be_meant(
    typed: str, meant: str | None
) -> None:
    """Such as the id of a task, which somebody has pasted: its page is two clicks away."""
    q = a_queue()
    await put(q, id="a")
    at = browser(dashboard(q))
    html = read(await at.get("tasks", q=typed))
    offered = [each.text() for each in html.css(".failure a code")]
    assert offered[:1] == ([] if meant is None else [meant])
    if typed == "a":
        html = await at.page(str(html.css(".failure a")[0].attributes["href"]))
        assert [each.text() for each in html.css("tbody .id")] == ["a"]


async def test_a_cursor_of_another_query_is_refused() -> None:
    """It would skip tasks, or show others."""
    q = a_queue()
    for _ in range(3):
        await put(q)
    at = browser(dashboard(q))
    html = await at.page("tasks", limit=1)
    following = html.css('a[rel="next"]')[0].attributes["href"]
    response = await at.http.get(f"/{following}&q=attempts:0")
    assert response.status_code == 400


async def test_a_page_looks_at_as_many_tasks_as_its_host_says() -> None:
    """For a query; it tells so, and the next page goes on from there."""
    q = a_queue()
    for number in range(5):
        await put(q, id=f"t-{number}")
    at = browser(dashboard(q, look=2))
    html = await at.page("tasks", q="text:nothing")
    assert "2 tasks looked at; a page looks at 2 at most" in text_of(html)
    [following] = html.css('a[rel="next"]')
    html = await at.page(str(following.attributes["href"]))
    assert len(html.css('a[rel="next"]')) == 1


# --- one task ----------------------------------------------------------------------------------


async def test_the_page_of_a_task_tells_its_whole_story() -> None:
    """Arguments, errors with tracebacks, progress, why it waits, and what may be ordered."""
    q = a_queue()
    task = await a_failed_task(q)
    html = await browser(dashboard(q)).page("task", queue="mail", id=task)
    text = text_of(html)
    assert "Why is this task not running?" in text
    assert "No worker serves the queue 'mail'." in text
    assert str(2**70) in text
    assert "hunter2" not in html.html
    assert "25%" in text.replace(" ", "")
    assert "a quarter" in text
    assert "Traceback (most recent call last)" in text
    attempts = [each.text() for each in html.css(".timeline strong")]
    assert attempts == ["Due", "Attempt 2 failed", "Attempt 1 failed", "Enqueued"]
    buttons = [each.attributes["value"] for each in html.css('button[name="verb"]')]
    assert buttons == ["run", "discard", "cancel", "move", "delete", "reschedule"]
    assert html.css("footer code")[0].text() == f"qcore task show {task} --queue mail"


async def test_a_task_of_a_chain_shows_what_follows() -> None:
    """With the arguments of the later steps; of a queue that somebody may not see, nothing."""
    q = a_queue()

    @q.task("first")
    async def first(ctx: Context) -> None: ...

    @q.task("second", queue="later")
    async def second(ctx: Context, size: int) -> None: ...

    await chain(first.call(), second.call(size=7)).enqueue()
    [made] = (await q.inspector.browse("default", State.PENDING)).tasks
    at = browser(dashboard(q))
    html = await at.page("task", queue="default", id=made.id)
    assert html.css("ol li")[0].text() == 'second in later {"size": 7}'
    assert "qcore-chain" not in html.html
    assert "Each is enqueued when the one before it has succeeded." in text_of(html)
    assert "Step 1 of 2" in text_of(html)
    of_first = browser(as_role(q, {"*.read@default"}))
    hidden = await of_first.page("task", queue="default", id=made.id)
    assert "second" not in hidden.html
    assert "later" not in hidden.html
    assert "Step 1" not in text_of(hidden)
    await q.inspector.cancel("default", [made.id])
    assert "None of it will run" in text_of(await at.page("task", queue="default", id=made.id))


async def test_a_chain_shows_how_far_it_has_come_and_where_it_has_stopped() -> None:
    """Each step that is stored has its state and a link; what will never run is said."""
    q = a_queue()

    @q.task("first", retention=60)
    async def first(ctx: Context) -> None: ...

    @q.task("second", queue="later", retention=60)
    async def second(ctx: Context) -> None: ...

    @q.task("third", queue="last", max_retry=0)
    async def third(ctx: Context) -> None:
        raise SkipRetry("no")

    @q.task("fourth")
    async def fourth(ctx: Context) -> None: ...

    steps = (first.call(), second.call(), third.using(task_id="3").call(), fourth.call())
    await chain(*steps).enqueue()
    await drain(q)
    at = browser(dashboard(q))
    [head] = (await q.inspector.browse("default", State.COMPLETED)).tasks
    page = {"queue": "default", "id": head.id}
    html = await at.page("task", **page)
    [done] = (await q.inspector.browse("later", State.COMPLETED)).tasks
    assert [" ".join(each.text().split()) for each in html.css("ol:not(.timeline) li")] == [
        "second in later completed {}",
        "third in last dead {}",
        "fourth in default {}",
    ]
    links = [each.attributes["href"] for each in html.css("ol:not(.timeline) a")]
    assert links == [f"task?queue=later&id={done.id}", "task?queue=last&id=3"]
    assert "The chain has stopped" in text_of(html)
    await q.inspector.run_now("last", ["3"])
    assert "The chain has stopped" not in text_of(await at.page("task", **page))


async def test_a_task_shows_what_it_followed() -> None:
    """With a link while that is stored; to who may not see that, nothing of it."""
    q = a_queue()

    @q.task("second", queue="later")
    async def second(ctx: Context) -> None: ...

    @q.task("first", queue="secret", retention=60)
    async def first(ctx: Context) -> None:
        ctx.then(second.using(delay=90).call())

    made = await first.enqueue()
    await drain(q, jump=False)
    [task] = (await q.inspector.browse("later", State.SCHEDULED)).tasks
    where = {"queue": "later", "id": task.id}
    html = await browser(dashboard(q)).page("task", **where)
    assert f"Follows {made.id} in secret" in text_of(html)
    link = f"task?queue=secret&id={made.id}"
    assert link in [each.attributes.get("href") for each in html.css("dd a")]
    assert "qcore-origin" not in html.html
    hidden = await browser(as_role(q, {"*.read@later"})).page("task", **where)
    assert "Follows" not in hidden.html
    assert "secret" not in hidden.html
    await q.inspector.delete("secret", [made.id])
    html = await browser(dashboard(q)).page("task", **where)
    assert f"Follows {made.id} in secret" in text_of(html)
    assert "which is not stored any more" in text_of(html)
    assert link not in [each.attributes.get("href") for each in html.css("dd a")]


async def a_running_task(q: Qcore, *, announced: bool = True) -> None:
    """Have a worker claim a task, and tell of it."""
    await put(q, id="a", name="email:welcome", queue="mail")
    await q.broker.claim(a_demand(1, mail=1), now=NOW, until=NOW + 60)
    q.clock.advance(65)  # type: ignore[attr-defined]
    for name, since in (("worker-1", NOW), ("frozen", NOW - 90)):
        runs = (RunningTask("mail", "a", "email:welcome", since),) if announced else ()
        await with_a_worker(
            q, id=name, name=name, queues={"mail": 1}, running=runs, expires=NOW + 600
        )


async def test_a_task_that_runs_shows_on_which_worker_and_since_when() -> None:
    """With a link to it; not of one that was frozen, and has lost it since."""
    q = a_queue()
    await a_running_task(q)
    html = await browser(dashboard(q)).page("task", queue="mail", id="a")
    first = html.css(".timeline li")[0]
    assert "Attempt 1 began on worker-1 1 min 5 s ago" in " ".join(first.text().split())
    assert first.css("a")[0].attributes["href"] == "workers?name=worker-1"
    assert "Where does it run?" not in text_of(html)


async def test_of_a_task_that_no_worker_tells_of_the_page_says_so() -> None:
    """Its worker may have been killed, and a task that only looks active waits for its lease."""
    q = a_queue()
    await a_running_task(q, announced=False)
    assert "No worker tells of it yet" in text_of(
        await browser(dashboard(q)).page("task", queue="mail", id="a")
    )


async def test_who_may_not_see_workers_is_not_told_where_a_task_runs() -> None:
    """Neither that, nor that none tells of it."""
    for announced in (True, False):
        q = a_queue()
        await a_running_task(q, announced=announced)
        at = browser(as_role(q, ["task.read", "worker.read@other"]))
        text = text_of(await at.page("task", queue="mail", id="a"))
        assert "worker-1" not in text
        assert "Where does it run?" not in text


async def test_a_result_is_shown() -> None:
    """Of a task that keeps one."""
    q = a_queue()

    @q.task("sum", retention=60)
    async def add(ctx: Context, a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    made = await add.enqueue(a=1, b=2**64)
    await drain(q)
    html = await browser(dashboard(q)).page("task", queue="default", id=made.id)
    assert html.css("pre.data")[1].text() == f'{{\n  "sum": {2**64 + 1}\n}}'


async def test_a_payload_that_cannot_be_read_is_told_and_not_shown() -> None:
    """Another application may seal what it writes."""
    q = a_queue()
    task = await put(q, payload=b"\x00secret", content_type="application/x-sealed")
    html = await browser(dashboard(q)).page("task", queue=task.queue, id=task.id)
    assert "7 bytes of application/x-sealed" in text_of(html)
    assert "secret" not in html.html


async def test_what_an_error_quotes_cannot_be_found_out_by_searching_for_it() -> None:
    """A secret of the arguments is masked before a query or a group of failures sees it."""
    q = a_queue()
    task = await put(q, payload=payload(password="hunter2-and-more"))
    [claim] = await q.broker.claim(Demand(1, {task.queue: 1}), now=NOW, until=NOW + 30)
    error = Exhausted("no user has hunter2-and-more")
    await q.broker.settle([Verdict(claim.lease, error)], now=NOW)
    app = dashboard(q)
    at = browser(app)
    assert (await at.page("tasks", q="error:hunter2")).css("tbody tr") == []
    assert len((await at.page("tasks", q='error:"no user"')).css("tbody tr")) == 1
    report = await Board(q, settings_of()).inspector.failures()
    assert [each.message for each in report.groups] == ["no user has ••••••"]


@pytest.mark.parametrize("right", ["task.read", "*.read"])
async def test_who_may_only_look_has_no_buttons(right: str) -> None:
    """Nor has a page for orders anything for them."""
    q = a_queue()
    task = await put(q)
    html = await browser(as_role(q, {right})).page("task", queue=task.queue, id=task.id)
    assert html.css("main form") == []


# --- orders ------------------------------------------------------------------------------------


async def state_of(q: Qcore, task: str, queue: str = "mail") -> State | None:
    """Return the state of a task."""
    found = await q.inspector.get(queue, task)
    return None if found is None else found.state


async def order(at: Browser, task: str, verb: str, **fields: str) -> Any:
    """Give an order by the form of a page."""
    route = "task-delete" if verb == "delete" else "task-move"
    return await at.post(route, queue="mail", id=task, verb=verb, **fields)


@pytest.mark.parametrize(
    ("verb", "fields", "state"),
    [
        ("run", {}, State.PENDING),
        ("reschedule", {"delay": "2h"}, State.RETRY),
        ("discard", {"confirm": "yes"}, State.ARCHIVED),
        ("cancel", {"confirm": "yes"}, State.DEAD),
        ("delete", {"confirm": "yes"}, None),
    ],
)
async def test_an_order_is_carried_out_and_told(
    verb: str, fields: dict[str, str], state: State | None
) -> None:
    """The browser goes to the task, or to its queue, which says what was done, once."""
    said_after = {
        "delete": "deleted",
        "discard": "discarded: here it can be brought back as it was",
    }
    told: list[Event] = []
    q = Qcore("memory://", clock=ManualClock(), dice=lambda: 0.5, instruments=[told.append])
    task = await a_failed_task(q)
    at = browser(dashboard(q, access=lambda _: Visitor(ALL, "ann")))
    response = await order(at, task, verb, reason="on call", **fields)
    assert response.status_code == 303
    assert await state_of(q, task) is state
    [event] = [each for each in told if isinstance(each, Operated)]
    assert (event.action, event.queue, event.tasks) == (verb, "mail", (task,))
    assert (event.by, event.reason) == ("ann", "on call")
    html = await at.page(response.headers["location"])
    said = html.css(".said.good")[0].text()
    assert said == f"{task} is {said_after.get(verb, state)}."
    assert state is None or "by ann" in text_of(html)
    assert (await at.page("tasks")).css(".said") == []


async def test_what_was_discarded_is_brought_back_on_its_page() -> None:
    """Where it was; another archived task has no such button."""
    q = a_queue()
    task = await a_failed_task(q)
    at = browser(dashboard(q))
    await order(at, task, "discard", confirm="yes")
    html = await at.page("task", queue="mail", id=task)
    assert html.css('button[value="bring-back"]')
    assert not html.css('button[value="discard"]')
    await order(at, task, "bring-back")
    assert await state_of(q, task) is State.RETRY
    await q.inspector.archive("mail", [task])
    html = await at.page("task", queue="mail", id=task)
    assert not html.css('button[value="bring-back"]')


@pytest.mark.parametrize("verb", ["discard", "cancel", "delete"])
async def test_what_ends_a_task_is_asked_about_first(verb: str) -> None:
    """On the server, with a field for the reason: nothing is done before the second form."""
    q = a_queue()
    task = await a_failed_task(q)
    at = browser(dashboard(q))
    response = await order(at, task, verb)
    assert response.status_code == 200
    assert 'name="reason"' in response.text
    assert 'value="yes"' in response.text
    assert await state_of(q, task) is State.RETRY


async def test_an_order_that_comes_too_late_changes_nothing_and_says_so() -> None:
    """The state is checked by the store, at the time of the order."""
    q = a_queue()
    task = await a_failed_task(q)
    at = browser(dashboard(q))
    await q.inspector.run_now("mail", [task])
    response = await order(at, task, "run")
    html = await at.page(response.headers["location"])
    assert "Nothing was done" in html.css(".said.bad")[0].text()
    await q.inspector.delete("mail", [task])
    response = await order(at, task, "run")
    html = await at.page(response.headers["location"])
    assert "not there any more" in html.css(".said.bad")[0].text()


@pytest.mark.parametrize("delay", ["", "soon", "-1h", "1h" * 100, "9" * 40 + "d"])
async def test_a_delay_that_makes_no_sense_moves_nothing(delay: str) -> None:
    """400, with what was expected."""
    q = a_queue()
    task = await a_failed_task(q)
    before = await q.inspector.get("mail", task)
    response = await order(browser(dashboard(q)), task, "reschedule", delay=delay)
    assert response.status_code == 400
    assert await q.inspector.get("mail", task) == before


async def test_a_task_that_has_ended_leads_to_what_it_has_enqueued() -> None:
    """In whatever queue that is; one that has not ended has enqueued nothing yet."""
    q = a_queue()

    @q.task("order", retention=60)
    async def order(ctx: Context) -> None:
        ctx.then(bill.call())
        ctx.then(bill.using(queue="b", task_id="mine").call())

    @q.task("bill", queue="a")
    async def bill(ctx: Context) -> None: ...

    made = await order.enqueue()
    at = browser(dashboard(q))
    assert "Led to" not in text_of(await at.page("task", queue="default", id=made.id))
    await q.worker(queues=["default"], burst=True).run()
    html = await at.page("task", queue="default", id=made.id)
    [link] = [each for each in html.css("dd a") if "Find what it" in each.text()]
    found = await at.page(str(link.attributes["href"]))
    assert {each.text() for each in found.css("tbody td a")} >= {"a", "b"}
    assert "mine" in [each.text() for each in found.css("tbody .id")]
