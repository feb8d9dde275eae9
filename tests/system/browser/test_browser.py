"""The dashboard in a real browser, under a prefix."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from qcore import Qcore
from qcore.domain.states import State
from qcore.entrypoints.dashboard.routes import Route
from tests.entrypoints.dashboard.examples import PARAMETERS
from tests.entrypoints.dashboard.hostile import fill
from tests.entrypoints.dashboard.kit import put
from tests.entrypoints.dashboard.walking import PAGES
from tests.system.browser.kit import FOLDER, PHONE, Site, a_browser, a_site, address

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]
SHOWN = [each for each in PAGES if each.method == "GET" and not each.is_stream]
NAMES = ("a/b", "..", "what?", "c#d", "a&b=c", "%2F")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Give one browser to all tests."""
    async with a_browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def site(browser: Browser) -> AsyncIterator[Site]:
    """Give a dashboard of a store in memory, in real time."""
    async with Qcore("memory://", instruments=[]) as q, a_site(browser, q) as served:
        yield served


async def several(q: Qcore, number: int) -> None:
    """Enqueue some tasks."""
    for at in range(number):
        await put(q, id=f"mail-{at}", queue="mail", name="email:welcome")


async def sizes(q: Qcore) -> dict[State, int]:
    """Return how many tasks the queue has by state."""
    return dict((await q.inspector.counts()).get("mail", {}))


async def serious(page: Page) -> list[str]:
    """Return what an accessibility check finds serious in a page, and where."""
    await page.evaluate((FOLDER / "axe.min.js").read_text(encoding="utf-8"))
    found: Any = await page.evaluate("() => axe.run()")
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("route", SHOWN, ids=lambda each: each.name or "overview")
async def test_each_page_opens_in_both_themes_and_on_a_phone(site: Site, route: Route) -> None:
    """No error of a script, nothing that the policy refuses, no serious finding, no scroll aside.

    The store has hostile text in all its fields.
    """
    await fill(site.q)
    where = address(route.name, PARAMETERS.get((route.method, route.name), {}))
    for scheme, options in (("light", {}), ("dark", {"viewport": PHONE})):
        async with site.page(color_scheme=scheme, **options) as page:
            response = await page.goto(where)
            assert response is not None
            assert response.ok
            assert await serious(page) == [], scheme
            wide = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, scheme


async def test_the_theme_can_be_chosen(site: Site) -> None:
    """Whatever the system prefers, and on all pages."""
    async with site.page(color_scheme="light") as page:
        await page.goto("./")
        light = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Dark").click()
        await page.goto("tasks")
        dark = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert dark != light


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_many_are_moved(site: Site, scripts: bool) -> None:  # noqa: FBT001
    """From the boxes to the page that tells of the end, which comes by itself; then back."""
    await several(site.q, 5)
    async with site.page(scripts=scripts) as page:
        await page.goto("queue?queue=mail&state=pending")
        for at in (1, 3):
            await page.get_by_label(f"Tick email:welcome mail-{at}").check()
        await page.get_by_role("button", name="Discard…").click()
        await expect(page.get_by_role("heading", name="Discard: 2 tasks?")).to_be_visible()
        assert await sizes(site.q) == {State.PENDING: 5}
        await page.get_by_label("Reason").fill("by mistake")
        await page.get_by_role("button", name="Discard").click()
        await expect(page.get_by_text("done", exact=True)).to_be_visible()
        assert await sizes(site.q) == {State.PENDING: 3, State.ARCHIVED: 2}
        await page.get_by_role("button", name="Bring them back").click()
        await expect(page.get_by_text("done", exact=True)).to_be_visible()
        assert await sizes(site.q) == {State.PENDING: 5}


async def test_a_page_follows_the_store(site: Site) -> None:
    """Without being loaded again; what is ticked and typed stays."""
    await several(site.q, 2)
    async with site.page() as page:
        await page.goto("queue?queue=mail")
        await page.evaluate("() => { window.stays = true; }")
        await page.get_by_label("Tick email:welcome mail-0").check()
        await page.get_by_label("Query").fill("half a que")
        await put(site.q, id="late", queue="mail", name="report:new")
        await expect(page.get_by_role("link", name="report:new")).to_be_visible()
        await site.q.inspector.delete("mail", ["mail-1"])
        await expect(page.get_by_label("Tick email:welcome mail-1")).to_have_count(0)
        assert await page.evaluate("() => window.stays")
        assert await page.get_by_label("Tick email:welcome mail-0").is_checked()
        assert not await page.get_by_label("Tick report:new late").is_checked()
        assert await page.get_by_label("Query").input_value() == "half a que"


async def test_a_pause_stays(site: Site) -> None:
    """On other pages, too; there is no stream meanwhile, and none behind another tab."""
    async with site.page() as page:
        await page.goto("./")
        await expect(page.get_by_role("button", name="Live")).to_be_visible()
        await page.wait_for_function("() => performance.getEntriesByType('resource').length")
        await page.get_by_role("button", name="Live").click()
        await page.goto("tasks")
        await expect(page.get_by_role("button", name="Paused")).to_be_visible()
        await _number_of_streams(page, site, 0)
        await page.get_by_role("button", name="Paused").click()
        await _number_of_streams(page, site, 1)
        await page.evaluate(
            "() => { Object.defineProperty(document, 'hidden', { value: true });"
            " document.dispatchEvent(new Event('visibilitychange')); }"
        )
        await _number_of_streams(page, site, 0)


async def _number_of_streams(page: Page, site: Site, number: int) -> None:
    for _ in range(300):
        if len(site.board.streams) == number:
            return
        await page.wait_for_timeout(50)
    assert len(site.board.streams) == number


async def test_keys_are_enough(site: Site) -> None:
    """Rows by j and k, a tick by x, help by ?; the rest is reached by Tab."""
    await several(site.q, 3)
    async with site.page() as page:
        await page.goto("queue?queue=mail&state=pending")
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        assert await page.locator('input[name="task"]:checked').count() == 1
        button = page.get_by_role("button", name="Discard…")
        for _ in range(60):
            if await button.evaluate("(it) => it === document.activeElement"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Discard: 1 task?").wait_for()
        # the field has the focus
        await page.keyboard.type("by keys")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("done", exact=True)).to_be_visible()
        await page.keyboard.press("?")
        await expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    assert await sizes(site.q) == {State.PENDING: 2, State.ARCHIVED: 1}


async def test_names_of_all_kinds_are_followed_by_clicks(site: Site) -> None:
    """From the overview to the queue and to its task."""
    for name in NAMES:
        await put(site.q, queue=name, id=name, name=f"of {name}")
    async with site.page() as page:
        for name in NAMES:
            await page.goto("./")
            await page.get_by_role("row").get_by_role("link", name=name, exact=True).click()
            await expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
            await page.get_by_role("link", name=f"of {name}", exact=True).click()
            await expect(page.get_by_role("heading", level=1, name=f"of {name}")).to_be_visible()
