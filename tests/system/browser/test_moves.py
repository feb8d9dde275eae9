"""Every order that a page can give: by the mouse, with scripts and without, and by keys."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Locator, Page, Request, expect

from qcore import NewTask, Qcore
from qcore.domain.periodic.editing import added
from qcore.domain.states import State
from qcore.entrypoints.dashboard.moves import BY_VERB
from qcore.entrypoints.dashboard.pages import groups, periodic
from qcore.entrypoints.dashboard.table import TABLE
from qcore.testing.entries import MINUTELY, an_entry, write
from tests.entrypoints.dashboard.kit import put
from tests.system.browser.kit import Site, a_site

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="session")]

TOKEN: Final = "a-token-of-enough-letters"
Step = Callable[[Page, Qcore], Awaitable[None]]


# --- what is done, each from a page that is opened anew -----------------------------------------


async def press(page: Page, name: str, *, confirm: bool = False, reason: str = "") -> None:
    """Press a button; where a page asks, give a reason and press again."""
    await page.get_by_role("button", name=f"{name}…" if confirm else name, exact=True).click()
    if confirm:
        await page.get_by_label("Reason").fill(reason or "by a test")
        await page.get_by_role("button", name=name, exact=True).click()


async def said(page: Page, text: str) -> None:
    """Expect the page to say what has been done."""
    await expect(page.locator(".said")).to_contain_text(text)


async def of_a_task(page: Page, q: Qcore) -> None:
    """Give a task each order that its states take."""
    await put(q, id="t", queue="mail", name="email:welcome", due=q.clock.now() + 3_600)
    await page.goto("task?queue=mail&id=t")
    await page.get_by_label("In", exact=True).fill("2h")
    await press(page, "Reschedule")
    await said(page, "t is scheduled")
    await page.get_by_role("link", name="Edit…").click()
    await page.get_by_label("Priority").fill("7")
    await press(page, "Save")
    await said(page, "t is changed")
    await press(page, "Run now")
    await said(page, "t is pending")
    await press(page, "Cancel", confirm=True)
    await said(page, "t is dead")
    await press(page, "Discard", confirm=True)
    await said(page, "t is discarded")
    await press(page, "Bring back")
    await said(page, "t is dead")
    await press(page, "Enqueue again")
    await said(page, "is enqueued, like t")
    await page.goto("task?queue=mail&id=t")
    await page.get_by_role("button", name="Move to a queue…").click()
    await page.get_by_label("To the queue").fill("other")
    await press(page, "Move to a queue")
    await expect(page.locator(".said")).to_be_visible()
    assert await q.inspector.get("mail", "t") is None
    await page.goto("task?queue=other&id=t")
    await press(page, "Delete", confirm=True)
    await said(page, "t is deleted")
    assert await q.inspector.get("other", "t") is None


async def of_failures(page: Page, q: Qcore) -> None:
    """Retry ten of a cause first, then discard the others."""
    ids = [f"f{n}" for n in range(12)]
    for each in ids:
        await put(q, id=each, queue="hooks", name="hook:post")
    await q.inspector.cancel("hooks", ids)
    await page.goto("errors?q=queue:hooks")
    await page.get_by_role("button", name="Retry…").click()
    await page.get_by_label("How many").select_option(label="Ten first")
    await press(page, "Retry")
    await said(page, "10 tasks are pending again")
    await press(page, "Discard", confirm=True)
    await said(page, "2 tasks are discarded")


async def of_a_group(page: Page, q: Qcore) -> None:
    """Release a group, and discard another."""
    q.aggregator("c", queue="digests")(lambda group, tasks: NewTask("digest", id="made"))
    for name in ("a", "b", "c"):
        await put(q, id=name, queue="digests", group=name)
    await page.goto("groups")
    await page.get_by_role("link", name="a", exact=True).click()
    await press(page, "Release", confirm=True)
    await said(page, "1 task is pending")
    await page.goto("group?queue=digests&name=b")
    await press(page, "Discard", confirm=True)
    await said(page, "1 task is discarded")
    await page.goto("group?queue=digests&name=c")
    await press(page, "Aggregate now")
    await expect(page.locator(".said.good")).to_be_visible()


async def of_a_periodic_task(page: Page, q: Qcore) -> None:
    """Run, pause, resume and remove a periodic task."""
    await write(q.broker, added(None, an_entry("daily"), MINUTELY, q.clock.now()))
    await page.goto("periodic")
    await page.get_by_role("link", name="daily").click()
    await press(page, "Run now")
    await said(page, "has made a task")
    await press(page, "Pause")
    await said(page, "is paused")
    await press(page, "Resume")
    await said(page, "ticks again")
    await press(page, "Remove", confirm=True)
    await said(page, "is removed")


async def of_many(page: Page, q: Qcore) -> None:
    """Move those that are ticked, bring them back, and stop moves of all."""
    for number in range(5):
        await put(q, id=f"m{number}", queue="many", name="x")
    await page.goto("queue?queue=many&state=pending")
    for number in (1, 3):
        await page.get_by_label(f"Tick x m{number}").check()
    await press(page, "Discard", confirm=True)
    await expect(page.get_by_text("done", exact=True)).to_be_visible()
    assert (await q.inspector.counts())["many"] == {State.PENDING: 3, State.ARCHIVED: 2}
    await press(page, "Bring them back")
    await expect(page.get_by_text("done", exact=True)).to_be_visible()
    assert (await q.inspector.counts())["many"] == {State.PENDING: 5}
    for verb in ("Set priority", "Discard", "Delete"):
        # slowly, so that there is something to stop
        await page.goto("queue?queue=many&state=pending")
        await page.get_by_label("Which tasks").select_option("all")
        await page.get_by_role("button", name=f"{verb}…").click()
        if verb == "Set priority":
            await page.get_by_label("Priority").fill("5")
        await page.get_by_label("and at most").fill("0.001")
        await press(page, verb)
        await press(page, "Stop")
        await expect(page.get_by_text("stopped", exact=True)).to_be_visible()
    assert State.PENDING in (await q.inspector.counts())["many"]


async def of_a_queue(page: Page, q: Qcore) -> None:
    """Pause, limit and remove a queue."""
    await put(q, id="1", queue="old")
    await page.goto("queue?queue=old")
    await press(page, "Pause")
    await said(page, "is paused")
    await press(page, "Resume")
    await said(page, "hands out its tasks")
    await page.get_by_text("Limits and removal").click()
    await page.get_by_label("Start at most").fill("100/min")
    await page.get_by_label("and run at most").fill("3")
    await press(page, "Set")
    await said(page, "starts 100 tasks in 60 s at most and runs 3")
    await page.get_by_text("Limits and removal").click()
    await expect(page.get_by_label("Start at most")).to_have_value("100/min")
    await page.get_by_role("button", name="Remove the queue…").click()
    await page.get_by_label("Reason").fill("nobody uses it")
    await press(page, "Remove")
    await said(page, "is removed, and 1 task with it")


async def of_the_store(page: Page, q: Qcore) -> None:
    """Examine the store."""
    await page.goto("doctor")
    await press(page, "Examine the store")
    await expect(page.get_by_text("Persistence")).to_be_visible()


async def of_looks(page: Page, q: Qcore) -> None:
    """Choose a zone and a theme."""
    await page.goto("preferences")
    await page.get_by_label("Time zone of all pages").fill("Europe/Berlin")
    await press(page, "Save")
    await said(page, "Times are shown in Europe/Berlin")
    await press(page, "Dark")
    await page.goto("tasks")
    assert await page.evaluate("() => document.documentElement.dataset.theme") == "dark"


STEPS: Final[tuple[Step, ...]] = (
    of_a_task,
    of_failures,
    of_a_group,
    of_a_periodic_task,
    of_many,
    of_a_queue,
    of_the_store,
    of_looks,
)
VERBS: Final = {
    "task-move": {each.verb for each in BY_VERB.values() if not each.is_for_many} - {"delete"},
    "task-delete": {"delete"},
    "periodic-move": set(periodic.ORDERS),
    "group-move": set(groups.ORDERS),
    "queue-pause": {"pause", "resume"},
}
"""What is ordered by one route."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_every_order_is_given_by_the_mouse(browser: Browser, scripts: bool) -> None:  # noqa: FBT001
    """Between a login and a logout. An order that nobody has named here fails this test."""
    given = dict[str, set[str]]()

    def note(request: Request) -> None:
        if request.method == "POST":
            form = parse_qs(request.post_data or "")
            verbs = given.setdefault(urlsplit(request.url).path.rsplit("/", 1)[1], set())
            # a pause says how it is to be by another name
            verbs |= {*form.get("verb", form.get("to", ()))}

    async with (
        Qcore("memory://", instruments=[]) as q,
        a_site(browser, q, token=TOKEN) as site,
        site.page(scripts=scripts) as page,
    ):
        page.on("request", note)
        await page.goto("login")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_label("Your name").fill("ann")
        await press(page, "Log in")
        await said(page, "You are logged in as ann")
        for step in STEPS:
            await step(page, q)
        await press(page, "Log out")
        await said(page, "You are logged out")
    assert set(given) == {each.name for each in TABLE.routes if each.method == "POST"}
    assert {name: given[name] for name in VERBS} == VERBS


async def test_keys_are_enough(site: Site) -> None:
    """To pause a queue, run a task, retry a cause and run a periodic task: by Tab and Enter."""
    q = site.q
    await put(q, id="t", queue="mail", due=q.clock.now() + 3_600)
    await put(q, id="f", queue="mail", name="hook:post")
    await q.inspector.cancel("mail", ["f"])
    await write(q.broker, added(None, an_entry("daily"), MINUTELY, q.clock.now()))
    async with site.page() as page:
        await page.goto("task?queue=mail&id=t")
        await by_keys(page, page.get_by_role("button", name="Run now"))
        await said(page, "t is pending")
        await by_keys(page, page.get_by_role("button", name="Discard…"))
        # the field has the focus
        await page.get_by_label("Reason").wait_for()
        await page.keyboard.type("by keys")
        await page.keyboard.press("Enter")
        await said(page, "t is discarded")
        await page.goto("errors")
        await by_keys(page, page.get_by_role("button", name="Retry…"))
        await by_keys(page, page.get_by_role("button", name="Retry", exact=True))
        await said(page, "1 task is pending again")
        await page.goto("queue?queue=mail")
        await by_keys(page, page.get_by_role("button", name="Pause", exact=True))
        await said(page, "is paused")
        await page.goto("periodic")
        await by_keys(page, page.get_by_role("link", name="daily"))
        await by_keys(page, page.get_by_role("button", name="Run now"))
        await said(page, "has made a task")


async def by_keys(page: Page, what: Locator) -> None:
    """Press Tab until something has the focus, then Enter; it must be seen that it has it."""
    await what.wait_for()
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await what.evaluate("(it) => it === document.activeElement"):
            break
    assert await what.evaluate("(it) => getComputedStyle(it).outlineStyle !== 'none'")
    await page.keyboard.press("Enter")


async def test_rows_are_reached_by_letters(site: Site) -> None:
    """Down by j, a tick by x, all in a field by /, the pages by g, help by ?."""
    for number in range(3):
        await put(site.q, id=f"m{number}", queue="mail", name="x")
    async with site.page() as page:
        await page.goto("queue?queue=mail&state=pending")
        for key in ("j", "j", "x"):
            await page.keyboard.press(key)
        assert await page.get_by_label("Tick x m1").is_checked()
        await page.keyboard.press("/")
        await page.keyboard.type("name:x")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**q=name*")
        for keys, heading in (("gw", "Workers"), ("ge", "Errors"), ("?", "Keys")):
            await page.keyboard.type(keys)
            await expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
