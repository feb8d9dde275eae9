"""Take pictures of the dashboard into docs/images/: `python -m docs.pictures`.

What is shown is the store of docs/captures.py, which is made up, by a clock that stands still.
"""

import asyncio
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from docs.captures import scene
from qcore import Qcore
from tests.system.browser.kit import PHONE, a_browser, a_site

IMAGES: Final = Path(__file__).parent / "images"
SIZE: Final = {"width": 1280, "height": 860}
PICTURES: Final = {
    "overview": "./",
    "queue": "queue?queue=webhooks&state=retry",
    "task": "queue?queue=mail&state=dead",
    "errors": "errors",
    "workers": "workers",
    "periodic": "periodic",
    "bulk": "queue?queue=webhooks&state=retry",
    "phone": "./",
}
"""Name to page."""
FIRST_TASK: Final = "table.tasks tbody th a"
SCHEMES: Final = ("light", "dark")
IN_BOTH: Final = {"overview", "queue", "task"}


async def main() -> None:
    """Take all pictures."""
    clock, broker = await scene()
    q = Qcore(broker=broker, clock=clock, instruments=[])
    async with a_browser() as browser, a_site(browser, q, environment="staging") as site:
        for scheme in SCHEMES:
            for name in PICTURES if scheme == "light" else IN_BOTH:
                size = PHONE if name == "phone" else SIZE
                async with site.page(color_scheme=scheme, viewport=size) as page:
                    await _go(page, name)
                    path = IMAGES / f"dashboard-{name}-{scheme}.png"
                    await page.screenshot(path=path, animations="disabled")


async def _go(page: Page, name: str) -> None:
    await page.goto(PICTURES[name])
    if name == "task":
        await page.locator(FIRST_TASK).first.click()
        await page.get_by_role("heading", name="Timeline").wait_for()
    if name == "bulk":
        await page.get_by_label("Which tasks").select_option("all")
        await page.get_by_role("button", name="Run now…").click()
        await page.get_by_label("Reason").fill("hooks.example is back")


if __name__ == "__main__":
    asyncio.run(main())
