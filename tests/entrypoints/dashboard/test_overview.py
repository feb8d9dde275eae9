"""The first page: how the queues stand, what is wrong now, and what somebody may see of it."""

from typing import Any, cast

import pytest

from qcore import Qcore, SkipRetry
from qcore.app.client.queue_listing import QueueSummary
from qcore.dashboard import dashboard
from qcore.domain.queue_limits import Limits
from qcore.domain.states import State
from qcore.entrypoints.dashboard.problems import Facts, problems
from qcore.ports import worker_registry_of
from qcore.testing import ManualClock, drain
from qcore.testing.builders import NOW, a_worker
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, text_of


async def with_a_worker(q: Qcore, **fields: Any) -> None:
    """Announce a worker."""
    registry = worker_registry_of(q.broker)
    assert registry is not None
    await q.broker.open()
    await registry.announce(a_worker(**fields))


async def test_an_empty_store_says_what_to_do() -> None:
    """And that nothing is wrong with it."""
    text = text_of(await browser(dashboard(a_queue())).page())
    assert "There is no queue yet" in text
    assert "qcore enqueue" in text
    assert "All is well" in text


async def test_each_queue_is_a_row_with_its_sizes_and_its_wait() -> None:
    """In the order of their names; the first link of each leads to it."""
    q = a_queue()
    await put(q, queue="b")
    await put(q, queue="a", due=NOW + 60)
    await put(q, queue="a")
    q.clock.advance(40)  # type: ignore[attr-defined]
    html = await browser(dashboard(q)).page()
    rows = [each.text(separator=" ").split() for each in html.css("tbody tr")]
    assert [row[0] for row in rows] == ["a", "b"]
    assert rows[0][1] == "2"
    assert "40" in rows[0]
    assert html.css("tbody a")[0].attributes["href"] == "queue?queue=a"
    assert html.css("svg.bar")[0].attributes["aria-label"] == "1 scheduled, 1 pending"


async def test_tasks_whose_retries_are_spent_are_seen() -> None:
    """In the sums and in the row of the queue, apart from those that are dead."""
    q = a_queue()
    made = await put(q, queue="a")
    await q.inspector.discard("a", [made.id])
    html = await browser(dashboard(q)).page()
    assert html.css(".card.s-archived .figure")[0].text() == "1"
    assert html.css(".card.s-dead .figure")[0].text() == "0"
    [cell] = html.css('tbody td[data-label="Archived"]')
    assert cell.text().strip() == "1"


async def test_what_has_ended_in_the_last_hour_is_counted() -> None:
    """Runs, and the share of them that failed."""
    q = a_queue()

    @q.task("t", queue="a")
    async def handler(ctx: Any, fails: bool) -> None:  # noqa: FBT001
        if fails:
            raise SkipRetry("no")

    for number in range(4):
        await handler.enqueue(fails=number == 0)
    await drain(q)
    text = text_of(await browser(dashboard(q)).page())
    assert "Last hour 4" in text
    assert "25.0 %" in text
    assert "1 task has ended for good without success since yesterday." in text


@pytest.mark.parametrize(
    ("given", "found"), [("ai", ["mail"]), ("m*", ["mail", "mms"]), ("*s", ["images", "mms"])]
)
async def test_queues_are_found_by_a_part_of_their_name(given: str, found: list[str]) -> None:
    """Or by a pattern."""
    q = a_queue()
    for name in ("images", "mail", "mms"):
        await put(q, queue=name)
    html = await browser(dashboard(q)).page(name=given)
    names = [each.text() for each in html.css("tbody a")]
    assert names == found


async def test_many_queues_come_in_pages_that_have_all_of_them_once() -> None:
    """By a cursor, so that none is skipped where some come or go."""
    q = a_queue()
    for number in range(7):
        await put(q, queue=f"q{number}")
    at = browser(dashboard(q))
    names: list[str] = []
    html = await at.page(limit=3, name="q")
    names += [each.text() for each in html.css("tbody a")]
    while following := html.css('a[rel="next"]'):
        path = str(following[0].attributes["href"]).removeprefix("./")
        html = await at.page(f"{path}&limit=3")
        names += [each.text() for each in html.css("tbody a")]
    assert names == [f"q{number}" for number in range(7)]
    assert html.css('a[rel="first"]')[0].attributes["href"] == "./?name=q"


async def test_sums_are_of_what_the_visitor_may_see() -> None:
    """Tasks, runs, workers and problems of other queues are left out."""
    q = a_queue()
    for queue in ("mine", "theirs", "theirs"):
        await put(q, queue=queue)
    await with_a_worker(q, queues={"theirs": 1}, loop_lag=9.0)
    html = await browser(as_role(q, {"*.read@mine"})).page()
    assert "theirs" not in str(html.html)
    assert html.css(".card.s-pending .figure")[0].text() == "1"
    assert "blocks" not in text_of(html)


async def test_a_problem_leads_to_a_page_that_the_visitor_may_open() -> None:
    """Else it is told all the same."""
    q = a_queue()
    await put(q, queue="mail")
    await with_a_worker(q, name="w1", queues={"mail": 1}, loop_lag=9.0)
    for rights, links in (({"*.read"}, 1), ({"queue.read", "worker.read"}, 1), ({"queue.*"}, 0)):
        html = await browser(as_role(q, rights)).page()
        assert len(html.css('.problems a[href="workers"]')) == links
    assert "No worker" not in text_of(html)


# --- what is wrong -----------------------------------------------------------------------------


def facts(**more: Any) -> Facts:
    """Return facts of a store in which nothing is wrong, but for what is named."""
    usual: dict[str, Any] = {
        "now": NOW,
        "sizes": {"mail": {State.PENDING: 3}},
        "queues": [a_queue_summary()],
        "workers": [a_worker(queues={"mail": 1})],
    }
    return Facts(**(usual | more))


def a_queue_summary(**more: Any) -> QueueSummary:
    """Return a queue with three tasks that have just come."""
    sizes = {State.PENDING: 3, State.ACTIVE: 1}
    usual: dict[str, Any] = {"name": "mail", "sizes": sizes, "waited": 1.0, "limits": Limits()}
    return QueueSummary(**(usual | more))


async def test_who_may_not_see_workers_is_told_nothing_of_them() -> None:
    """Not that there are none either, nor of those of other queues."""
    q = a_queue()
    await put(q, queue="mine")
    await put(q, queue="theirs")
    html = await browser(as_role(q, {"queue.read"})).page()
    assert "orker" not in text_of(html).replace("workers:q", "")
    html = await browser(as_role(q, {"*.read@mine"})).page()
    assert "No worker serves the queue mine: 1 task waits in it." in text_of(html)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, None),
        ({"workers": None}, None),
        ({"workers": []}, "No worker is there, and 3 tasks wait."),
        ({"workers": [], "sizes": {}}, None),
        (
            {"workers": [a_worker(queues={"other": 1})]},
            "No worker serves the queue mail: 3 tasks wait in it.",
        ),
        (
            {"workers": [a_worker(name="w1", queues={"mail": 1}, loop_lag=2.0)]},
            "The worker w1 has a handler that blocks its event loop.",
        ),
        (
            {"workers": [a_worker(name="w1", queues={"mail": 1}, seen=NOW - 10)]},
            "The worker w1 has missed its heartbeat.",
        ),
        (
            {"queues": [a_queue_summary(limits=Limits(is_paused=True))]},
            "The queue mail is paused, and 3 tasks wait.",
        ),
        (
            {"queues": [a_queue_summary(limits=Limits(in_flight=1))]},
            "The queue mail runs as many tasks as the limit lets: 3 tasks are held back.",
        ),
        (
            {"queues": [a_queue_summary(waited=3_700.0)]},
            "The first task of the queue mail has waited for 1 h 1 min.",
        ),
        ({"died": 2}, "2 tasks have ended for good without success since yesterday."),
        (
            {"died": 2, "counts_all_dead": False},
            "2 tasks or more have ended for good without success since yesterday.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(more: dict[str, Any], said: str | None) -> None:
    """With advice; where nothing is wrong there is nothing."""
    found = problems(facts(**more))
    assert [each.text for each in found] == ([] if said is None else [said])
    assert all(each.advice.endswith(".") for each in found)


def test_many_queues_are_one_problem() -> None:
    """Of thousands that nobody serves some are named, and the number of all is told."""
    sizes = {f"q{number}": {State.PENDING: 1} for number in range(5_000)}
    [found] = problems(facts(sizes=sizes, queues=[]))
    assert found.text == (
        "No worker serves the queues q0, q1, q2 and 4,997 more: 5,000 tasks wait in them."
    )


async def test_the_errors_since_yesterday_are_those_that_are_counted() -> None:
    """The store counts by days of UTC: the link leads to all of them, and to none before."""
    q = a_queue()

    @q.task("t", queue="a", max_retry=0)
    async def handler(ctx: Any) -> None:
        raise ValueError("no")

    clock = cast("ManualClock", q.clock)
    for _ in range(3):
        # just after midnight of three days, of which the last is today
        clock.advance(-clock.now() % 86_400 + 60)
        await handler.enqueue()
        await drain(q, jump=False)
    clock.advance(86_400 - 120)
    at = browser(dashboard(q))
    html = await at.page()
    [link] = [each for each in html.css(".problems a") if "since yesterday" in each.text()]
    assert link.text().startswith("2 tasks")
    html = await at.page(str(link.attributes["href"]))
    assert [each.text() for each in html.css(".cause .figure")] == ["2 tasks"]


def test_of_several_queues_those_with_most_tasks_are_named() -> None:
    """Not those first in the alphabet; the page and the command are of the same."""
    waiting = {"a": 1, "b": 1, "c": 2, "mail": 700}
    sizes = {name: {State.PENDING: number} for name, number in waiting.items()}
    [found] = problems(facts(sizes=sizes, queues=[], workers=[a_worker(queues={"other": 1})]))
    assert found.text.startswith("No worker serves the queues mail, c, a and 1 more")
    assert found.advice.startswith("Start a worker that serves them")
    assert found.parameters == {"queue": "mail"}
    assert found.command[-1] == "mail,c,a"
