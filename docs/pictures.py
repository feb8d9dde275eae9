"""Take pictures of the dashboard into docs/images/: `python -m docs.pictures`.

What is shown is the store of docs/captures.py, which is made up, by a clock that stands still.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from docs.captures import scene
from qcore import Context, Qcore, SkipRetry, chain
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
    "chains": "chains?state=all&q=queue:orders",
    "bulk": "queue?queue=webhooks&state=retry",
    "phone": "./",
}
"""Name to page."""
FIRST_TASK: Final = "table.tasks tbody th a"
BEGUN_EARLIER: Final = range(4_016, 4_021)
JUST_BEGUN: Final = range(4_021, 4_023)
SLOW: Final = {4_019}
FAR: Final = {4_017, 4_020}
"""Orders whose chains are shown."""
SCHEMES: Final = ("light", "dark")
IN_BOTH: Final = ("overview", "queue", "task", "chains")


async def main() -> None:
    """Take all pictures."""
    clock, broker = await scene()
    q = Qcore(broker=broker, clock=clock, instruments=[])
    await _run_chains(q)
    async with a_browser() as browser, a_site(browser, q, environment="staging") as site:
        for scheme in SCHEMES:
            for name in PICTURES if scheme == "light" else IN_BOTH:
                size = PHONE if name == "phone" else SIZE
                async with site.page(color_scheme=scheme, viewport=size) as page:
                    await _go(page, name)
                    path = IMAGES / f"dashboard-{name}-{scheme}.png"
                    await page.screenshot(path=path, animations="disabled")


async def _run_chains(q: Qcore) -> None:
    """Run chains of which one is tried again, some stop half way, and some have just begun."""
    kept = timedelta(hours=1)

    @q.task("order:charge", queue="orders", retention=kept)
    async def charge(_: Context, order: int) -> int:
        if order in SLOW:
            raise ConnectionError("the bank did not answer within 10 s")
        return order

    @q.task("order:ship", queue="orders", retention=kept)
    async def ship(_: Context, order: int) -> int:
        if order in FAR:
            raise SkipRetry(f"no courier drives to the address of order {order}")
        return order

    @q.task("order:receipt", queue="orders", retention=kept)
    async def receipt(_: Context, order: int) -> None: ...

    for orders in (BEGUN_EARLIER, JUST_BEGUN):
        # there is nothing to run yet before the first
        await q.worker(queues=["orders"], burst=True, scheduler=False).run()
        for order in orders:
            await chain(charge.call(order), ship, receipt).enqueue()


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
