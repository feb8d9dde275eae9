"""Groups: which tasks wait to become one, and orders for all that wait in one."""

from collections.abc import Sequence
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from qcore import Qcore
from qcore.app.client.queries import Query
from qcore.dashboard import ALL, Visitor, dashboard
from qcore.domain.events import Event, Operated
from qcore.domain.groups import Group
from qcore.domain.new_task import NewTask
from qcore.domain.states import State
from qcore.entrypoints.dashboard.pages.groups import CALLS, MEMBERS
from qcore.testing import ManualClock
from qcore.testing.builders import a_task
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, read, text_of

GROUP = {"queue": "mail", "name": "user-1"}


async def with_groups(**queues: list[str]) -> Qcore:
    """Return a store with a task in each of some groups."""
    q = a_queue()
    for queue, groups in queues.items():
        for group in groups:
            await put(q, queue=queue, group=group)
    return q


def names_of(html: LexborHTMLParser) -> list[str]:
    """Return the names of the groups in a list."""
    return [str(each.text()) for each in html.css("tbody th a")]


async def test_an_empty_list_says_how_a_group_comes_into_it() -> None:
    """And one of a queue without groups leads back to all."""
    at = browser(dashboard(a_queue()))
    assert "No task waits in a group" in text_of(await at.page("groups"))
    assert "Show all" in text_of(await at.page("groups", queue="x"))


async def test_groups_are_rows_with_their_sizes() -> None:
    """By queue, then by name; of one queue too."""
    q = await with_groups(sms=["a"], mail=["user-2", "user-1", "user-1"])
    at = browser(dashboard(q))
    html = await at.page("groups")
    assert names_of(html) == ["user-1", "user-2", "a"]
    assert html.css("tbody td.n")[0].text() == "2"
    assert names_of(await at.page("groups", queue="sms")) == ["a"]


async def test_a_group_shows_the_tasks_that_joined_first() -> None:
    """And the command that aggregates it at once."""
    q = await with_groups(mail=["user-1"] * (MEMBERS + 2))
    html = await browser(dashboard(q)).page("group", **GROUP)
    assert len(html.css("tbody tr")) == MEMBERS
    text = text_of(html)
    assert f"{MEMBERS} or more tasks" in text
    assert "qcore groups aggregate user-1 --queue mail" in text


async def test_a_group_is_aggregated_at_once() -> None:
    """Where the dashboard has its aggregator, by a button; the instruments are told who did it."""
    told: list[Event] = []
    q = Qcore("memory://", clock=ManualClock(), instruments=[told.append])

    @q.aggregator("user-1", queue="mail")
    def one(group: Group, members: Sequence[Any]) -> NewTask:
        return a_task(id="digest", queue="mail", payload=str(len(members)).encode())

    for _ in range(3):
        await put(q, queue="mail", group="user-1")
    at = browser(dashboard(q))
    assert "Aggregate now" in text_of(await at.page("group", **GROUP))
    done = await at.post("group-aggregate", **GROUP)
    page = text_of(read(await at.http.get(f"/{done.headers['location']}")))
    assert "user-1 has become 1 task: digest." in page
    assert dict((await q.inspector.counts())["mail"]) == {State.PENDING: 1}
    [order] = [each for each in told if isinstance(each, Operated)]
    assert (order.action, order.detail, order.tasks) == ("aggregate", "user-1", ("digest",))
    again = await at.post("group-aggregate", **GROUP)
    page = text_of(read(await at.http.get(f"/{again.headers['location']}")))
    assert "Nothing was done" in page


async def test_a_group_without_an_aggregator_here_has_no_button() -> None:
    """Its page says who has it, and what is sent all the same is refused."""
    at = browser(dashboard(await with_groups(mail=["user-1"])))
    text = text_of(await at.page("group", **GROUP))
    assert "Aggregate now" not in text
    assert "only a worker or a command has it" in text
    done = await at.post("group-aggregate", **GROUP)
    page = text_of(read(await at.http.get(f"/{done.headers['location']}")))
    assert "Nothing was done: user-1 has no aggregator here." in page


async def test_an_aggregator_that_fails_is_told() -> None:
    """The tasks wait as before. What it has raised is not shown: it may quote masked arguments."""
    q = await with_groups(mail=["user-1"])

    @q.aggregator("user-1", queue="mail")
    def one(group: Group, members: Sequence[Any]) -> NewTask:
        raise ValueError(f"no template for {group}")

    at = browser(dashboard(q))
    done = await at.post("group-aggregate", **GROUP)
    page = text_of(read(await at.http.get(f"/{done.headers['location']}")))
    assert "The aggregator of user-1 has failed by a ValueError." in page
    assert "no template" not in page
    assert dict((await q.inspector.counts())["mail"]) == {State.AGGREGATING: 1}


async def test_a_group_in_which_no_task_waits_says_so() -> None:
    """It may have become one task meanwhile."""
    html = await browser(dashboard(a_queue())).page("group", **GROUP)
    assert "No task waits in this group" in text_of(html)
    assert html.css("main form") == []


@pytest.mark.parametrize(("verb", "state"), [("run", State.PENDING), ("discard", State.ARCHIVED)])
async def test_all_tasks_of_a_group_are_moved(verb: str, state: State) -> None:
    """After a page that shows how many; those of other groups stay."""
    q = await with_groups(mail=["user-1", "user-1", "user-2"], sms=["user-1"])
    at = browser(dashboard(q, access=lambda _: Visitor(ALL, "ann")))
    asked = read(await at.post("group-move", **GROUP, verb=verb))
    assert "2 tasks?" in text_of(asked)
    assert await q.inspector.totals() == {State.AGGREGATING: 4}
    await at.post("group-move", **GROUP, verb=verb, confirm="yes", reason="mended")
    assert await q.inspector.counts() == {
        "mail": {state: 2, State.AGGREGATING: 1},
        "sms": {State.AGGREGATING: 1},
    }
    task = (await q.inspector.browse("mail", state)).tasks[0]
    details = await q.inspector.details("mail", task.id)
    assert details is not None
    assert [(each.by, each.reason) for each in details.audit] == [("ann", "mended")]


async def test_groups_of_queues_that_somebody_may_not_see_are_not_there() -> None:
    """Also not in the link to the next page."""
    q = await with_groups(a=["theirs-1"], b=["mine-1", "mine-2"], c=["theirs-2"])
    at = browser(as_role(q, {"*@b"}))
    for limit in (1, 2, 9):
        html = await at.page("groups", limit=limit)
        assert names_of(html) == ["mine-1", "mine-2"][:limit]
        assert "theirs" not in str(html.html)
    theirs = {"queue": "a", "name": "theirs-1"}
    assert (await at.get("groups", queue="a")).status_code == 404
    assert (await at.get("group", **theirs)).status_code == 404
    assert (await at.post("group-move", **theirs, verb="run")).status_code == 404


async def test_who_may_see_groups_alone_sees_no_tasks() -> None:
    """Neither their arguments nor their names, and no buttons."""
    q = await with_groups(mail=["user-1"])
    html = await browser(as_role(q, {"group.read"})).page("group", **GROUP)
    assert "not the tasks" in text_of(html)
    assert html.css("tbody, main form") == []


async def test_pages_have_all_groups_once() -> None:
    """In the order of queues and names, however many queues are asked for one."""
    queues = {f"q{number:04}": ["g"] for number in range(CALLS + 2)}
    q = await with_groups(a=["g1", "g2", "g3"], **queues)
    at = browser(dashboard(q))
    html = await at.page("groups", limit=2)
    found = len(names_of(html))
    while following := html.css('a[rel="next"]'):
        html = await at.page(f"{following[0].attributes['href']}&limit=500")
        found += len(names_of(html))
    assert found == 3 + CALLS + 2


@pytest.mark.parametrize("cursor", ["x", "[]", "[1, 2]", "[" * 1_900])
async def test_a_cursor_that_makes_no_sense_is_refused(cursor: str) -> None:
    """With 400."""
    at = browser(dashboard(await with_groups(mail=["g"])))
    assert (await at.get("groups", cursor=cursor)).status_code == 400


@pytest.mark.parametrize("queue", ["mail", "a*b", 'a"b', "a-b:c/d?e#f"])
async def test_the_page_of_a_queue_leads_to_what_else_is_of_it(queue: str) -> None:
    """To its errors, its workers, its periodic tasks and its groups, however it is called."""
    q = await with_groups(**{queue: ["g"], "other": ["h"]})
    at = browser(dashboard(q))
    links = {each.text(): each for each in (await at.page("queue", queue=queue)).css(".crumbs a")}
    assert [*links] == ["Overview", "Errors", "Workers", "Periodic tasks", "Groups"]
    for name in ("Errors", "Workers", "Periodic tasks"):
        assert (await at.get(str(links[name].attributes["href"]))).status_code == 200
    assert names_of(await at.page(str(links["Groups"].attributes["href"]))) == ["g"]
    errors = await at.page(str(links["Errors"].attributes["href"]))
    [field] = errors.css("input[name=q]")
    assert Query.parse(str(field.attributes["value"])) == Query.where(queue=queue)
