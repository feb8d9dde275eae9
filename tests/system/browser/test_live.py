"""What a page does by itself: it follows the store, keeps what was chosen, and leads on."""

import pytest
from playwright.async_api import Browser, Page, expect

from qcore import BrokerUnavailable, Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.domain.periodic.editing import added
from qcore.ports import Counts
from qcore.testing.entries import MINUTELY, an_entry, write
from tests.entrypoints.dashboard.hostile import fill
from tests.entrypoints.dashboard.kit import put
from tests.system.browser.kit import Site, a_site

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="session")]
NAMES = ("a/b", "..", "what?", "c#d", "a&b=c", "%2F")


async def several(q: Qcore, number: int) -> None:
    """Enqueue some tasks."""
    for at in range(number):
        await put(q, id=f"mail-{at}", queue="mail", name="email:welcome")


async def test_the_theme_can_be_chosen(site: Site) -> None:
    """Whatever the system prefers, and on all pages."""
    async with site.page(color_scheme="light") as page:
        await page.goto("./")
        light = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="Dark").click()
        await page.goto("tasks")
        dark = await page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert dark != light


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


async def test_what_is_unfolded_stays_so(site: Site) -> None:
    """While the page follows the store, and while it says what was done."""
    await several(site.q, 1)
    async with site.page() as page:
        await page.goto("queue?queue=mail")
        await page.get_by_role("button", name="Pause", exact=True).click()
        await expect(page.locator(".said")).to_contain_text("is paused")
        await page.get_by_text("Limits and removal").click()
        await page.get_by_label("Start at most").fill("100/m")
        await put(site.q, id="late", queue="mail", name="report:new")
        await expect(page.get_by_role("link", name="report:new")).to_be_visible()
        await expect(page.get_by_label("Start at most")).to_be_visible()
        await expect(page.get_by_label("Start at most")).to_have_value("100/m")
        await expect(page.locator(".said")).to_contain_text("is paused")


async def test_a_page_of_a_store_that_was_away_comes_back_by_itself(browser: Browser) -> None:
    """When the store answers again; nothing is typed or pressed."""
    broker = Moody()
    async with Qcore(broker=broker, instruments=[]) as q, a_site(browser, q) as site:
        await put(q, queue="mail")
        broker.is_away = True
        async with site.page() as page:
            await page.goto("./")
            await expect(page.get_by_role("heading", name="does not answer")).to_be_visible()
            broker.is_away = False
            await expect(page.get_by_role("link", name="mail", exact=True)).to_be_visible()


class Moody(MemoryBroker):
    """A store that does not answer while it is told so."""

    is_away = False

    async def count(self) -> Counts:
        if self.is_away:
            raise BrokerUnavailable("cannot reach the store")
        return await super().count()


async def test_colours_that_mean_something_stay_where_colours_are_forced(site: Site) -> None:
    """The bar of a queue shows its states to whoever has chosen few colours."""
    await fill(site.q)
    async with site.page(forced_colors="active") as page:
        await page.goto("./")
        colours = await page.evaluate(
            "() => [...document.querySelectorAll('.bar rect')]"
            ".map((it) => getComputedStyle(it).fill)"
        )
        assert len(set(colours)) == len(colours) > 4


async def test_names_of_all_kinds_are_followed_by_clicks(site: Site) -> None:
    """From the overview to the queue and to its task; to a group, and to a periodic task."""
    for name in NAMES:
        await put(site.q, queue=name, id=name, name=f"of {name}")
        await put(site.q, queue=name, id=f"in-{name}", group=name)
        entry = an_entry(name, queue=name)
        await write(site.q.broker, added(None, entry, MINUTELY, site.q.clock.now()))
    async with site.page() as page:
        for name in NAMES:
            heading = page.get_by_role("heading", level=1, name=name)
            await page.goto("./")
            await page.get_by_role("row").get_by_role("link", name=name, exact=True).click()
            await expect(heading).to_be_visible()
            await page.get_by_role("link", name=f"of {name}", exact=True).click()
            await expect(page.get_by_role("heading", level=1, name=f"of {name}")).to_be_visible()
            for where in ("groups", "periodic"):
                await page.goto(where)
                row = page.get_by_role("row").get_by_role("link", name=name, exact=True)
                await row.first.click()
                await expect(heading).to_be_visible()
