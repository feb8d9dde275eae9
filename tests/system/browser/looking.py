"""What is looked for in a page: what an accessibility check finds, and text that is cut."""

from typing import Any, Final

from playwright.async_api import Page

from tests.system.browser.kit import DESKTOP, FOLDER, PHONE

ZOOMED: Final = {"width": DESKTOP["width"] // 2, "height": DESKTOP["height"] // 2}
"""A desktop at 200 %: half as many pixels of CSS."""

CUT: Final = """() => {
  const found = [], wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page scrolls aside by ${wide} px`);
  for (const it of document.body.querySelectorAll("*")) {
    const over = it.scrollWidth - it.clientWidth, style = getComputedStyle(it);
    // fields scroll by themselves, drawings have no text, and inline boxes have no width
    if (over <= 1 || !it.clientWidth || it.closest("svg, .hidden, .skip")) continue;
    if (it.matches("input, select, textarea, progress, meter")) continue;
    if (style.textOverflow === "ellipsis") continue;
    if (style.overflowX !== "visible" && it.matches("nav, pre, .tall")) continue;
    const what = style.overflowX === "visible" ? "spills" : "is cut";
    found.push(`${it.outerHTML.slice(0, 160)} ${what} by ${over} px`);
  }
  return found;
}"""
"""Lists and code may be wider than the screen, and shortened text says so; all else may not."""


async def begin(page: Page) -> None:
    """Have a page ready to be examined: the check is in each document that it loads from now on."""
    await page.add_init_script(path=FOLDER / "axe.min.js")


async def faults(page: Page) -> list[str]:
    """Return what is wrong with a page that `begin` was called with, however it is looked at."""
    await page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    found = await _violations(page, "light", "resultTypes: ['violations']")
    found += await _cut(page, "on a desktop")
    await page.emulate_media(color_scheme="dark")
    # all else is the same in both
    found += await _violations(page, "dark", "runOnly: ['color-contrast']")
    await page.emulate_media(color_scheme="light")
    for size, where in ((PHONE, "on a phone"), (ZOOMED, "at 200 %")):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        found += await _cut(page, where)
    return found


async def _violations(page: Page, theme: str, options: str) -> list[str]:
    # style sheets and media are loaded anew for two rules alone, neither of which is on or has
    # anything to look at here
    found: Any = await page.evaluate(f"() => axe.run({{preload: false, {options}}})")
    return [
        f"{theme}: {each['id']}: {each['help']}: {[it['html'][:200] for it in each['nodes'][:3]]}"
        for each in found["violations"]
    ]


async def _cut(page: Page, where: str) -> list[str]:
    return [f"{where}: {each}" for each in await page.evaluate(CUT)]
