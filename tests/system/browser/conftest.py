"""One browser for all tests."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from qcore import Qcore
from tests.system.browser.kit import Site, a_browser, a_site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Give one browser to all tests."""
    async with a_browser() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def site(browser: Browser) -> AsyncIterator[Site]:
    """Give a dashboard of a store in memory, in real time."""
    async with Qcore("memory://", instruments=[]) as q, a_site(browser, q) as served:
        yield served
