"""The query box is completed by keys, as the combobox pattern has them."""

import pytest
from playwright.async_api import Browser, expect

from qcore import Qcore
from tests.entrypoints.dashboard.kit import put
from tests.system.browser.kit import a_site

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="session")]


async def test_a_query_is_completed_by_keys_alone(browser: Browser) -> None:
    """From a qualifier to a name in quotes; Escape closes what is offered, and Enter asks."""
    async with Qcore("memory://", instruments=[]) as q:
        await put(q, queue="bulk,mail", name="email:welcome")
        async with a_site(browser, q) as site, site.page() as page:
            await page.goto("tasks")
            box = page.get_by_role("combobox", name="Query")
            options = page.get_by_role("listbox", name="Completions").get_by_role("option")
            await page.keyboard.press("/")
            await page.keyboard.type("que")
            await expect(options).to_have_text(["queue:"])
            await expect(box).to_have_attribute("aria-expanded", "true")
            await page.keyboard.press("ArrowDown")
            await expect(options.first).to_have_attribute("aria-selected", "true")
            active = await options.first.get_attribute("id")
            await expect(box).to_have_attribute("aria-activedescendant", active or "")
            await page.keyboard.press("Enter")
            await expect(options).to_have_text(['"bulk,mail"'])
            await page.keyboard.press("ArrowUp")
            await page.keyboard.press("Enter")
            await expect(box).to_have_value('queue:"bulk,mail"')
            await page.keyboard.type(" sta")
            await expect(options).to_have_text(["state:"])
            await page.keyboard.press("Escape")
            await expect(options).to_have_count(0)
            await expect(box).to_be_focused()
            await box.fill('queue:"bulk,mail"')
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("link", name="email:welcome")).to_be_visible()
            assert "q=queue" in page.url
