"""The query box is completed by qualifiers, states, and names that the visitor may see."""

from typing import Any

import pytest

from qcore import Qcore
from qcore.dashboard import dashboard
from qcore.domain.answers import Settled
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Succeeded
from qcore.entrypoints.dashboard.pages.complete import MOST
from tests.entrypoints.dashboard.kit import Browser, a_queue, as_role, browser, put


async def offered(at: Browser, q: str, **parameters: str) -> list[str]:
    """Return what is offered where a query ends, each as the whole query that it makes."""
    response = await at.get("complete", q=q, **parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    told: Any = response.json()
    return [f"{told['before']}{each}" for each in told["options"]]


async def have_run(q: Qcore, **names: str) -> None:
    """Have a task of a name succeed in each of some queues."""
    for queue, name in names.items():
        await put(q, queue=queue, name=name, id=f"of-{queue}", retention=60.0)
        [claim] = await q.broker.claim(Demand(1, {queue: 1}), now=q.clock.now(), until=1e10)
        verdict = Verdict(claim.lease, Succeeded(b""), 1.0, 1.0)
        assert isinstance((await q.broker.settle([verdict], now=q.clock.now()))[0], Settled)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sta", ["state:"]),
        ("state:de", ["state:dead"]),
        ("state:dead -state:ret", ["state:dead -state:retry"]),
        ("queue:ma", ["queue:mail"]),
        ("queue:mail,b", ['queue:mail,"b,c"']),
        ("name:", ["name:invoice:make", "name:mail:send"]),
        ("name:SEND", ["name:mail:send"]),
        ("args.user:7", []),
        ("nothing:7", []),
    ],
)
async def test_what_fits_is_offered(query: str, found: list[str]) -> None:
    """What begins so first, in quotes where it needs them."""
    q = a_queue()
    await have_run(q, mail="mail:send", pay="invoice:make", **{"b,c": "x y"})
    at = browser(dashboard(q))
    assert [each for each in await offered(at, query) if "x y" not in each] == found


async def test_nothing_is_offered_that_the_visitor_may_not_see() -> None:
    """Neither a queue nor the name of a task in it."""
    q = a_queue()
    await have_run(q, mail="mail:send", pay="invoice:make")
    at = browser(as_role(q, {"task.read@mail", "queue.read"}))
    assert await offered(at, "queue:") == ["queue:mail"]
    assert await offered(at, "name:") == ["name:mail:send"]
    assert (await at.get("complete", q="name:", queue="pay")).status_code == 404


async def test_names_are_those_of_the_page_of_a_queue() -> None:
    """And of no other."""
    q = a_queue()
    await have_run(q, mail="mail:send", pay="invoice:make")
    assert await offered(browser(dashboard(q)), "name:", queue="pay") == ["name:invoice:make"]


async def test_no_more_is_offered_than_somebody_reads() -> None:
    """What comes later is found by typing on."""
    q = a_queue()
    for at in range(3 * MOST):
        await put(q, queue=f"shop-{at}")
    dash = browser(dashboard(q))
    assert len(await offered(dash, "queue:")) == MOST
    assert await offered(dash, "queue:shop-59") == ["queue:shop-59"]


async def test_a_page_names_its_completions() -> None:
    """By a link to which the query is added; that of a queue is about it alone."""
    q = a_queue()
    await put(q, queue="a/b")
    at = browser(dashboard(q))
    for page, parameters, link in (
        ("tasks", {}, "complete?q="),
        ("errors", {}, "complete?q="),
        ("queue", {"queue": "a/b"}, "complete?queue=a%2Fb&q="),
    ):
        html = await at.page(page, **parameters)
        assert html.css_first(".js-query").attributes["data-completions"] == link


async def test_how_a_chain_stands_is_completed() -> None:
    """The words that the qualifier takes."""
    at = browser(dashboard(a_queue()))
    assert await offered(at, "chain:") == [
        "chain:open",
        "chain:stopped",
        "chain:passed",
        "chain:done",
    ]
