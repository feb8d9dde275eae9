"""Periodic tasks: when each ticks, what became of its ticks, and orders for one."""

from itertools import count
from typing import Any

import pytest
from attrs import evolve
from selectolax.lexbor import LexborHTMLParser

from qcore import Qcore, SkipRetry
from qcore.app.client.entry_listing import CALLS
from qcore.dashboard import ALL, Visitor, dashboard
from qcore.domain.periodic.editing import added
from qcore.domain.states import State
from qcore.events import Operated
from qcore.testing import ManualClock, drain
from qcore.testing.builders import NOW
from qcore.testing.entries import MINUTELY, an_entry, write
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, read, text_of

EXAMPLE = {"queue": "default", "name": "report"}


async def with_entries(*names: str, queue: str = "default", **options: Any) -> Qcore:
    """Return a store with some periodic tasks that tick each minute."""
    q = a_queue()
    await q.broker.open()
    await put(q, *names, queue=queue, **options)
    return q


async def put(q: Qcore, *names: str, queue: str = "default", **options: Any) -> None:
    """Add some periodic tasks."""
    for name in names:
        entry = an_entry(name, queue=queue, **options)
        await write(q.broker, added(None, entry, MINUTELY, NOW))


def names_of(html: LexborHTMLParser) -> list[str]:
    """Return the names of the periodic tasks in a list."""
    return [str(each.text()) for each in html.css("tbody th a")]


async def test_an_empty_list_says_how_one_comes_into_it() -> None:
    """And one that finds nothing leads back to all."""
    at = browser(dashboard(a_queue()))
    assert "There is no periodic task yet" in text_of(await at.page("periodic"))
    assert "Show all" in text_of(await at.page("periodic", name="x"))


async def test_a_periodic_task_is_a_row_with_its_schedule_in_words() -> None:
    """With its zone, its next tick, and a link to it."""
    q = a_queue()
    await q.entries.put("0 9 * * 1-5", an_entry("daily").task, name="daily", tz="Europe/Berlin")
    html = await browser(dashboard(q)).page("periodic")
    text = text_of(html)
    assert "At 09:00, Monday to Friday, Europe/Berlin" in text
    assert html.css("tbody a")[0].attributes["href"] == "periodic-entry?queue=default&name=daily"
    html = await browser(dashboard(q)).page("periodic-entry", queue="default", name="daily")
    assert len(html.css(".ticks li")) == 5
    assert "CRON_TZ=Europe/Berlin 0 9 * * 1-5" in text_of(html)


async def test_what_became_of_ticks_is_shown_the_latest_first() -> None:
    """With the state of each task, its error, and how late it was made."""
    q = await with_entries("report", task={"name": "report"})

    runs = count(1)

    @q.task("report")
    async def report(ctx: Any) -> None:
        if next(runs) > 1:
            raise SkipRetry("no paper")

    await drain(q, until=NOW + 130)
    html = await browser(dashboard(q)).page("periodic-entry", **EXAMPLE)
    rows = [each.text(separator=" ") for each in html.css("tbody tr")]
    assert len(rows) == 2
    assert "dead" in rows[0]
    assert "no paper" in rows[0]
    assert "no paper" not in rows[1]


async def test_a_tick_that_nobody_has_seen_to_is_late() -> None:
    """And the page says why, and what to do."""
    q = await with_entries("report")
    q.clock.advance(120)  # type: ignore[attr-defined]
    at = browser(dashboard(q))
    assert "due 1 min ago" in text_of(await at.page("periodic"))
    html = await at.page("periodic-entry", **EXAMPLE)
    text = text_of(html)
    assert [each.text().endswith("ago") for each in html.css(".ticks li")] == [False] * 5
    assert "late by 1 min" in text
    assert "qcore scheduler" in text


async def test_what_no_code_declares_any_more_is_shown_as_stale() -> None:
    """It looks like others, and never ticks."""
    q = await with_entries()
    entry = an_entry("report", declared_by="app:report")
    change = added(None, entry, MINUTELY, NOW)
    assert change.entry is not None
    state = evolve(change.entry.state, declared_until=NOW)
    await write(q.broker, evolve(change, entry=evolve(change.entry, state=state)))
    html = await browser(dashboard(q)).page("periodic-entry", **EXAMPLE)
    assert "No code declares it any more" in text_of(html)
    assert html.css(".ticks") == []


async def test_what_a_newer_version_has_stored_is_shown_as_such() -> None:
    """It can be removed, and nothing else."""
    q = await with_entries("report", schedule="every full moon")
    at = browser(dashboard(q))
    assert "every full moon" in text_of(await at.page("periodic", status="unreadable"))
    html = await at.page("periodic-entry", **EXAMPLE)
    assert "A newer qcore has stored it" in text_of(html)
    assert [each.attributes["value"] for each in html.css("button[name=verb]")] == ["remove"]


async def test_an_entry_is_paused_and_resumed_and_run() -> None:
    """By a form each; who did it is told."""
    told: list[Operated] = []

    def tell(event: object) -> None:
        if isinstance(event, Operated):
            told.append(event)

    q = Qcore("memory://", clock=ManualClock(), instruments=[tell])
    await q.broker.open()
    await put(q, "report")
    at = browser(dashboard(q, access=lambda _: Visitor(ALL, "ann")))
    await at.post("periodic-move", **EXAMPLE, verb="pause")
    assert "paused" in text_of(await at.page("periodic"))
    await at.post("periodic-move", **EXAMPLE, verb="resume")
    assert "active" in text_of(await at.page("periodic", status="active"))
    response = await at.post("periodic-move", **EXAMPLE, verb="run")
    assert response.status_code == 303
    assert await q.inspector.totals() == {State.PENDING: 1}
    assert {(each.by, each.entry) for each in told} == {("ann", "report")}


async def test_before_one_is_removed_a_page_asks() -> None:
    """Of one that code declares it says that it comes again."""
    q = await with_entries("report", declared_by="app.mail:report")
    at = browser(dashboard(q))
    asked = read(await at.post("periodic-move", **EXAMPLE, verb="remove"))
    assert "it comes again when app.mail:report is next started" in text_of(asked)
    assert await q.entries.get("report") is not None
    await at.post("periodic-move", **EXAMPLE, verb="remove", confirm="yes")
    assert await q.entries.get("report") is None


@pytest.mark.parametrize("verb", ["run", "pause", "resume", "remove"])
async def test_an_order_for_what_is_not_there_is_refused(verb: str) -> None:
    """With 404, and nothing is done."""
    q = await with_entries("report")
    given = {**EXAMPLE, "name": "other", "verb": verb, "confirm": "yes"}
    assert (await browser(dashboard(q)).post("periodic-move", **given)).status_code == 404


async def test_entries_of_queues_that_somebody_may_not_see_are_not_there() -> None:
    """Nor can they be found, or moved."""
    q = await with_entries("mine", queue="mine")
    await put(q, "theirs", queue="theirs")
    at = browser(as_role(q, {"*@mine"}))
    assert names_of(await at.page("periodic")) == ["mine"]
    theirs = {"queue": "theirs", "name": "theirs"}
    assert (await at.get("periodic-entry", **theirs)).status_code == 404
    assert (await at.post("periodic-move", **theirs, verb="pause")).status_code == 404


async def test_who_may_only_look_sees_no_buttons() -> None:
    """And no state of tasks that they may not see."""
    q = await with_entries("report")
    html = await browser(as_role(q, {"periodic.read"})).page("periodic-entry", **EXAMPLE)
    assert html.css("main form") == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"name": "b"}, ["b"]),
        ({"name": "qu"}, ["a", "b"]),
        ({"name": "test:"}, ["a", "b"]),
        ({"status": "paused"}, ["b"]),
        ({"status": "ended"}, []),
    ],
)
async def test_entries_are_found_by_name_task_queue_and_status(
    given: dict[str, str], found: list[str]
) -> None:
    """A part of a name is enough."""
    q = await with_entries("a", "b", queue="queue")
    await q.entries.pause("b", queue="queue")
    assert names_of(await browser(dashboard(q)).page("periodic", **given)) == found


@pytest.mark.parametrize("search", ["", "e"])
async def test_pages_have_all_entries_once(search: str) -> None:
    """In the order of queues and names, whether they are searched or not."""
    q = await with_entries("e1", "e2", "e3", queue="a")
    await put(q, "e4", "e5", queue="b")
    at = browser(dashboard(q))
    html = await at.page("periodic", limit=2, name=search)
    names = names_of(html)
    while following := html.css('a[rel="next"]'):
        html = await at.page(f"{following[0].attributes['href']}&limit=2")
        names += names_of(html)
    assert names == ["e1", "e2", "e3", "e4", "e5"]


async def test_a_search_among_many_queues_is_bounded() -> None:
    """A page asks the store so often and no more; the next one goes on."""
    q = await with_entries()
    for number in range(CALLS + 10):
        await put(q, f"e{number}", queue=f"q{number:04}")
    at = browser(dashboard(q))
    html = await at.page("periodic", name=f"e{CALLS + 5}")
    assert names_of(html) == []
    assert "none is of this kind" in text_of(html)
    following = str(html.css('a[rel="next"]')[0].attributes["href"])
    assert names_of(await at.page(following)) == [f"e{CALLS + 5}"]


@pytest.mark.parametrize("cursor", ["x", "[]", "[1, 2]", "{}", "[" * 1_900])
async def test_a_cursor_that_makes_no_sense_is_refused(cursor: str) -> None:
    """With 400."""
    at = browser(dashboard(await with_entries("a")))
    assert (await at.get("periodic", cursor=cursor)).status_code == 400
