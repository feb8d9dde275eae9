"""Failures by cause, and orders for all tasks of one: paced, confirmed, within rights."""

from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from qcore import Qcore, SkipRetry
from qcore.dashboard import ALL, Visitor, dashboard
from qcore.domain.states import State
from qcore.testing import drain
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, read, text_of

MOVER = {"task.read", "task.move"}


async def with_failures(**numbers: int) -> Qcore:
    """Return a store with so many dead tasks in each queue, all of one cause."""
    q = a_queue()

    @q.task("t")
    async def handler(ctx: Any, number: int) -> None:
        raise SkipRetry(f"no answer from 10.0.0.{number}")

    for queue, number in numbers.items():
        for each in range(number):
            await handler.using(queue=queue).enqueue(number=each)
    await drain(q)
    return q


def fields_of(html: LexborHTMLParser, route: str) -> dict[str, str]:
    """Return what the form for a route has in its hidden fields."""
    return {
        str(each.attributes["name"]): str(each.attributes["value"] or "")
        for each in html.css(f'form[action="{route}"] input[type="hidden"]')
    }


async def test_failures_of_one_cause_are_one_group() -> None:
    """With what their errors have in common, how many they are, and a task to look at."""
    html = await browser(dashboard(await with_failures(mail=12))).page("errors")
    [group] = html.css("article")
    assert group.css("pre")[0].text() == "no answer from #"
    assert "12 tasks" in " ".join(group.text(separator=" ").split())
    assert str(group.css("a.id")[0].attributes["href"]).startswith("task?queue=mail&id=")
    assert "12 failed" in str(group.css("svg")[0].attributes["aria-label"])


async def test_a_group_shows_the_versions_between_which_it_failed() -> None:
    """The first and the last; where workers were told of none, nothing is shown of it."""
    at = browser(dashboard(q := await with_failures(mail=1)))
    assert "Version" not in text_of(await at.page("errors"))
    await q.inspector.delete_all(state=State.DEAD)
    for version in ("1.3", "1.4", "<1.5>"):
        await q.resolve("t").using(queue="mail").enqueue(number=7)
        await q.worker(queues=["mail"], burst=True, app_version=version).run()
    [group] = (await at.page("errors")).css("article")
    assert "Versions 1.3 – <1.5>" in " ".join(group.text(separator=" ").split())


async def test_without_a_failure_the_page_says_so() -> None:
    """And a query that finds none leads back to all."""
    at = browser(dashboard(a_queue()))
    assert "No task has failed" in text_of(await at.page("errors"))
    assert "Show all" in text_of(await at.page("errors", q="queue:mail"))


@pytest.mark.parametrize(
    ("route", "state"),
    [("errors-retry", State.PENDING), ("errors-discard", State.ARCHIVED)],
)
async def test_ten_of_a_group_are_moved_first(route: str, state: State) -> None:
    """After a page that shows how many there are; the others stay, and say so."""
    q = await with_failures(mail=12)
    at = browser(dashboard(q))
    given = fields_of(await at.page("errors"), route)
    asked = read(await at.post(route, **given))
    assert "12 tasks?" in text_of(asked)
    assert len(asked.css(".sample a")) == 5
    [to_all] = asked.css('a[href^="tasks?q=state"]')
    listed = await at.page(str(to_all.attributes["href"]))
    assert len(listed.css("tbody tr")) == 12
    assert await q.inspector.totals() == {State.DEAD: 12}
    response = await at.post(route, **fields_of(asked, route), confirm="yes", number="10")
    assert response.status_code == 303
    assert await q.inspector.totals() == {State.DEAD: 2, state: 10}
    html = await at.page(response.headers["location"])
    assert "10 tasks are" in text_of(html)
    # what is pending or discarded has no cause to be looked for any more
    assert len(html.css("article")) == 1
    assert "2 tasks" in text_of(html)


async def test_a_move_keeps_who_gave_it_and_why() -> None:
    """In the audit trail of each task."""
    q = await with_failures(mail=1)
    at = browser(dashboard(q, access=lambda _: Visitor(ALL, "ann")))
    given = fields_of(await at.page("errors"), "errors-retry")
    await at.post("errors-retry", **given, confirm="yes", reason="mended")
    [task] = (await q.inspector.browse("mail", State.PENDING)).tasks
    details = await q.inspector.details("mail", task.id)
    assert details is not None
    assert [(each.by, each.reason) for each in details.audit] == [("ann", "mended")]


async def test_what_fails_after_the_preview_is_not_touched() -> None:
    """The set is frozen when the page is made that asks."""
    q = await with_failures(mail=2)
    at = browser(dashboard(q))
    given = fields_of(await at.page("errors"), "errors-retry")
    asked = fields_of(read(await at.post("errors-retry", **given)), "errors-retry")
    q.clock.advance(5)  # type: ignore[attr-defined]

    [late] = [each for each in q.handlers() if each.name == "t"]
    await q.client.enqueue(late.using(queue="mail").call(number=9))
    await drain(q)
    await at.post("errors-retry", **asked, confirm="yes", number="100")
    assert await q.inspector.totals() == {State.DEAD: 1, State.PENDING: 2}


async def test_a_group_is_moved_in_those_queues_alone_that_somebody_may_move() -> None:
    """Neither counted nor moved elsewhere, also where the tasks of both are seen."""
    q = await with_failures(mine=2, theirs=3)
    at = browser(as_role(q, {"*.read", "task.move@mine"}))
    html = await at.page("errors")
    assert "5 tasks" in text_of(html)
    given = fields_of(html, "errors-retry")
    assert "Retry 2 tasks?" in text_of(read(await at.post("errors-retry", **given)))
    await at.post("errors-retry", **given, confirm="yes", number="100")
    assert await q.inspector.counts() == {"mine": {State.PENDING: 2}, "theirs": {State.DEAD: 3}}


async def test_who_may_move_what_they_may_not_see_moves_nothing() -> None:
    """A group is of what is seen."""
    q = await with_failures(mine=2, theirs=3)
    given = fields_of(await browser(dashboard(q)).page("errors"), "errors-retry")
    at = browser(as_role(q, {"task.move", "task.read@mine"}))
    await at.post("errors-retry", **given, confirm="yes", number="100")
    assert await q.inspector.counts() == {"mine": {State.PENDING: 2}, "theirs": {State.DEAD: 3}}


async def test_who_may_only_look_sees_no_buttons() -> None:
    """And no failures of queues that they may not see."""
    q = await with_failures(mine=2, theirs=3)
    html = await browser(as_role(q, {"*.read@mine"})).page("errors")
    assert html.css("article form") == []
    assert "2 tasks" in text_of(html)
    assert "theirs" not in str(html.html)


@pytest.mark.parametrize(
    "given",
    [
        {"fingerprint": "x"},
        {"fingerprint": ""},
        {"number": "0"},
        {"number": "1001"},
        {"as_of": "nan"},
        {"as_of": "9" * 40},
        {"as_of": "-1"},
    ],
)
async def test_a_form_that_makes_no_sense_moves_nothing(given: dict[str, str]) -> None:
    """It is refused with 400, which says which value and what was expected."""
    q = await with_failures(mail=1)
    at = browser(dashboard(q))
    fields = fields_of(await at.page("errors"), "errors-retry") | {"confirm": "yes"} | given
    response = await at.post("errors-retry", **fields)
    assert response.status_code == 400
    assert next(iter(given)) in response.text.lower()
    assert await q.inspector.totals() == {State.DEAD: 1}


@pytest.mark.parametrize(("error", "is_same"), [("no {} here", False), ("no '{}' here", True)])
async def test_a_command_is_shown_where_it_finds_the_same_tasks(error: str, is_same: bool) -> None:  # noqa: FBT001
    """A terminal masks nothing: a masked value gives its error another fingerprint there."""
    q = a_queue()

    @q.task("t")
    async def handler(ctx: Any, token: str) -> None:
        raise SkipRetry(error.format(token))

    await handler.enqueue(token="hunter-two")
    await drain(q)
    at = browser(dashboard(q))
    given = fields_of(await at.page("errors"), "errors-retry")
    query = f"state:dead fingerprint:{given['fingerprint']}"
    in_terminal = await q.inspector.tasks(query)
    assert len(in_terminal.tasks) == is_same
    of_all = {"verb": "run", "which": "all", "q": query}
    for html in (
        await at.page("tasks", q=query),
        await at.page("queue", queue="default", q=query),
        await at.page("errors", q=query),
        read(await at.post("errors-retry", **given)),
        read(await at.post("bulk", **of_all)),
    ):
        assert "t" in text_of(html)
        assert len(html.css(".command")) == is_same
