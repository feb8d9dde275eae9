"""Chains: which have stopped, how far each has come, and what comes next."""

from selectolax.lexbor import LexborHTMLParser

from qcore import Context, Qcore, SkipRetry, chain
from qcore.app.calls.chain_steps import CHAIN_HEADER, STEP_HEADER
from qcore.dashboard import dashboard
from qcore.testing import drain
from tests.entrypoints.dashboard.kit import a_queue, as_role, browser, put, text_of


def rows_of(html: LexborHTMLParser) -> list[list[str]]:
    """Return name, queue, step and what comes next of each row."""
    rows = [
        [" ".join(cell.text().split()) for cell in row.css("td, th")]
        for row in html.css("tbody tr")
    ]
    return [[row[1].split()[0], *row[2:5]] for row in rows]


async def with_chains() -> Qcore:
    """Return a queue with a chain that has stopped at its second step, and one that goes on."""
    q = a_queue()

    @q.task("fetch")
    async def fetch(ctx: Context) -> None: ...

    @q.task("scale", queue="slow")
    async def scale(ctx: Context) -> None:
        raise SkipRetry("no numbers")

    @q.task("report", queue="mail")
    async def report(ctx: Context) -> None: ...

    await chain(fetch.call(), scale.call(), report.call()).enqueue()
    await drain(q)
    await chain(fetch.call(), report.call()).enqueue()
    await put(q, name="alone")
    return q


async def test_those_that_have_stopped_come_first() -> None:
    """With the step that has ended, which of how many, and what will not run."""
    at = browser(dashboard(await with_chains()))
    html = await at.page("chains")
    assert rows_of(html) == [["scale", "slow", "2 of 3", "report in mail"]]
    assert "no numbers" in text_of(html)
    assert "qcore tasks list chain:stopped" in text_of(html)
    assert rows_of(await at.page("chains", state="open")) == [
        ["fetch", "default", "1 of 2", "report in mail"]
    ]
    assert len(rows_of(await at.page("chains", state="all"))) == 2
    assert rows_of(await at.page("chains", q="queue:mail")) == []


async def test_a_chain_is_there_once_and_done_with_its_last_step() -> None:
    """Steps before it that are kept are not chains of their own."""
    q = a_queue()

    @q.task("kept", retention=60)
    async def kept(ctx: Context) -> None: ...

    await chain(kept.call(), kept.call()).enqueue()
    await drain(q)
    at = browser(dashboard(q))
    for state in ("done", "all"):
        assert rows_of(await at.page("chains", state=state)) == [["kept", "default", "2 of 2", "–"]]


async def test_steps_that_may_not_be_seen_are_left_out() -> None:
    """Neither their names nor how many they are."""
    q = await with_chains()
    html = await browser(as_role(q, {"*.read@slow"})).page("chains")
    assert rows_of(html) == [["scale", "slow", "–", "–"]]
    assert rows_of(await browser(as_role(q, {"*.read@mail"})).page("chains", state="all")) == []


async def test_a_chain_that_cannot_be_read_here_is_listed_all_the_same() -> None:
    """Such as one that is sealed by a key which the dashboard does not have."""
    q = a_queue()
    await put(q, headers={CHAIN_HEADER: "application/x-sealed AAAA", STEP_HEADER: "1/2"})
    html = await browser(dashboard(q)).page("chains", state="open")
    assert "cannot be read here" in text_of(html)


async def test_an_empty_page_says_how_a_chain_comes_onto_it() -> None:
    """And leads to those that go on."""
    at = browser(dashboard(a_queue()))
    assert "No chain has stopped" in text_of(await at.page("chains"))
    assert "No chain is stored" in text_of(await at.page("chains", state="open"))


async def test_a_page_that_has_looked_at_others_alone_says_so() -> None:
    """In a large store chains may be behind thousands of other tasks."""
    q = a_queue()

    @q.task("fetch")
    async def fetch(ctx: Context) -> None: ...

    for n in range(20):
        await put(q, name="alone", id=f"{n}", queue="a")
    await chain(fetch.using(queue="b").call(), fetch.call()).enqueue()
    at = browser(dashboard(q, look=10))
    html, pages = await at.page("chains", state="open"), 1
    while not rows_of(html):
        assert "Of the 10 tasks looked at so far, none is such a step" in text_of(html)
        [link] = html.css("a[rel=next]")
        html, pages = await at.page(link.attributes["href"] or ""), pages + 1
    assert pages > 1
