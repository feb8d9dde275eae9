"""A headless Chromium, and a dashboard under a prefix that it looks at."""

import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from attrs import define, field
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from starlette.applications import Starlette

from qcore import Qcore
from qcore.entrypoints.dashboard.app import Dashboard
from qcore.entrypoints.dashboard.board import Board
from qcore.entrypoints.dashboard.settings import settings_of
from qcore.entrypoints.dashboard.table import TABLE
from tests.entrypoints.dashboard.test_mounting import served

FOLDER: Final = Path(sys.prefix) / "browser"
"""Where `make` puts it; elsewhere one on PATH is taken."""
ON_PATH: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE: Final = 30_000
"""Milliseconds."""
DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 390, "height": 844}


def _installed() -> tuple[str, dict[str, str | float | bool]]:
    """Return a browser, and the environment that it runs in."""
    own = FOLDER / "chromium"
    path = str(own) if own.is_file() else next(filter(None, map(shutil.which, ON_PATH)), None)
    if path is None:
        pytest.fail(
            f"there is no browser: expected one in {FOLDER}, where `python -m "
            f"tests.system.browser.install {FOLDER}` puts it, or {' or '.join(ON_PATH)} on PATH"
        )
    # the libraries beside it come after those of the machine
    paths = [os.environ.get("LD_LIBRARY_PATH", ""), str(FOLDER / "lib"), str(FOLDER)]
    environ = os.environ | {"LD_LIBRARY_PATH": ":".join(filter(None, paths))}
    if own.is_file() and not Path("/etc/fonts/fonts.conf").is_file():
        # a small machine has no fonts, and pages no text then
        environ["FONTCONFIG_FILE"] = str(FOLDER / "fonts.conf")
    return path, dict(environ)


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """Start a browser, and end it."""
    path, environ = _installed()
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            env=environ,
        )
        yield browser
        await browser.close()


@define
class Site:
    """A dashboard that is served, and who looks at it."""

    browser: Browser
    q: Qcore
    board: Board
    url: str
    complaints: list[str] = field(factory=list)
    """What pages have said in the console: errors of scripts, and what the policy refused."""

    @asynccontextmanager
    async def page(self, *, scripts: bool = True, **options: Any) -> AsyncIterator[Page]:
        """Give a page of a browser that has been nowhere yet; nothing may go wrong in it."""
        context = await self.browser.new_context(
            base_url=self.url, java_script_enabled=scripts, **{"viewport": DESKTOP, **options}
        )
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        # no bound methods: the driver sets attributes on what they are bound to
        page.on("console", lambda message: self.complaints.extend(_complaint(message, page.url)))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        yield page
        await context.close()
        assert self.complaints == []


def _complaint(message: ConsoleMessage, url: str) -> list[str]:
    is_one = message.type in {"error", "warning"}
    # that the page itself is refused is for the test to judge; what it loads is not to be
    is_one &= "status of" not in message.text or message.location["url"] != url
    return [f"{message.text} at {message.location}"] if is_one else []


@asynccontextmanager
async def a_site(browser: Browser, q: Qcore, **options: Any) -> AsyncIterator[Site]:
    """Serve a dashboard of a queue under a prefix."""
    board = Board(q, settings_of(**options))
    app = Dashboard(board, TABLE)
    host = Starlette()
    host.mount("/ops/queues", app)
    async with served(host) as url:
        try:
            yield Site(browser, q, board, f"{url}ops/queues/")
        finally:
            await app.wait_closed()


def address(name: str, parameters: Mapping[str, str]) -> str:
    """Return a page as a browser is told of it."""
    return f"{name or './'}?{urlencode(parameters)}" if parameters else name or "./"
