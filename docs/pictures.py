"""Take pictures of the dashboard into docs/images/: `python -m docs.pictures`.

What is shown is the store of docs/captures.py, which is made up, by a clock that stands still.
"""

import asyncio
from pathlib import Path
from typing import Final

from docs.captures import scene
from qcore import Qcore
from tests.system.browser.kit import a_browser, a_site

IMAGES: Final = Path(__file__).parent / "images"
SIZE: Final = {"width": 1280, "height": 860}
PICTURES: Final = {
    "overview": "./",
    "queue": "queue?queue=webhooks&state=retry",
    "task": "queue?queue=mail&state=dead",
}
"""Name to page; of the task the first of a list is opened."""
SCHEMES: Final = ("light", "dark")


async def main() -> None:
    """Take all pictures."""
    clock, broker = await scene()
    q = Qcore(broker=broker, clock=clock, instruments=[])
    async with a_browser() as browser, a_site(browser, q, environment="staging") as site:
        for scheme in SCHEMES:
            for name, where in PICTURES.items():
                async with site.page(color_scheme=scheme, viewport=SIZE) as page:
                    await page.goto(where)
                    if name == "task":
                        await page.locator("table.tasks tbody th a").first.click()
                        await page.locator("h1").wait_for()
                    path = IMAGES / f"dashboard-{name}-{scheme}.png"
                    await page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    asyncio.run(main())
