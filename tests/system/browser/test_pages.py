"""Every page, as it looks and as it can be used: in both themes, on a phone, at 200 %."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page

from qcore import BrokerUnavailable, Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.domain.errors import StoreMissing
from qcore.domain.states import State
from qcore.entrypoints.dashboard import render
from tests.entrypoints.dashboard.examples import ALSO, PARAMETERS
from tests.entrypoints.dashboard.hostile import QUEUE, WORD, fill
from tests.entrypoints.dashboard.walking import DATA, PAGES
from tests.system.browser.kit import Site, a_site, address
from tests.system.browser.looking import begin, faults

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="session")]

Visit = tuple[str, str, Mapping[str, str]]
SHOWN: Final = [
    each for each in PAGES if each.method == "GET" and not each.is_stream and each.name not in DATA
]
WITHOUT_JOBS: Final = [each for each in SHOWN if each.name != "job"]
ORDERS: Final = [each for each in ALSO if each[0] == "POST" and each[2].get("verb") != "bring-back"]
"""Those that are asked about first, and one that makes a tick."""
ALIKE: Final = {State.SCHEDULED, State.PENDING, State.COMPLETED, State.ARCHIVED}
"""States in which pages look as they do in others."""
BULK: Final = {"which": "all", "state": "dead", "queue": QUEUE, "verb": "run"}
VISITS: Final[list[Visit]] = [
    *(("GET", each.name, PARAMETERS.get(("GET", each.name), {})) for each in WITHOUT_JOBS),
    *(each for each in ALSO if each[0] == "GET" and each[2].get("state") not in ALIKE),
    ("GET", "no-such-page", {}),
    ("GET", "queue", {"queue": QUEUE, "q": WORD}),
    *ORDERS,
    ("POST", "bulk", BULK),
    ("POST", "doctor", {}),
    # that which moves something comes last
    ("POST", "bulk", {**BULK, "confirm": "yes", "as_of": "9e9", "reason": "why not"}),
    ("GET", "jobs", {}),
]
EMPTY: Final = ("", "tasks", "errors", "workers", "periodic", "groups", "chains", "jobs")
SEND: Final = """([to, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = to;
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}"""


class Away(MemoryBroker):
    """A store that does not answer."""

    async def count(self) -> Any:
        raise BrokerUnavailable("cannot reach the store")


class Missing(MemoryBroker):
    """A store that is not there yet."""

    async def count(self) -> Any:
        raise StoreMissing("/srv/shop/qcore.db: there is no such file")


@pytest.mark.timeout(300)
async def test_every_page_is_fit_for_every_eye(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cut, and an accessibility check finds nothing; the store has hostile text.

    A page that is not looked at, because nobody has named it here, fails this test.
    """
    seen = set[str]()
    response = render.Renderer.response

    def noted(self: render.Renderer, page: render.Page, *args: object, **given: object) -> object:
        seen.add(page.template)
        return response(self, page, *args, **given)

    monkeypatch.setattr(render.Renderer, "response", noted)
    await fill(site.q)
    found = await _walk(site, VISITS)
    async with Qcore("memory://", instruments=[]) as q, a_site(browser, q) as empty:
        found += await _walk(empty, [("GET", each, {}) for each in EMPTY])
    async with Qcore("memory://", instruments=[]) as q, a_site(browser, q, token="s" * 20) as shut:
        found += await _walk(shut, [("GET", "login", {})])
    async with Qcore(broker=Away(), instruments=[]) as q, a_site(browser, q) as away:
        found += await _walk(away, [("GET", "", {})])
    async with Qcore(broker=Missing(), instruments=[]) as q, a_site(browser, q) as missing:
        found += await _walk(missing, [("GET", "", {})])
    assert found == [], "\n".join(found)
    assert seen == _pages()


async def _walk(site: Site, visits: list[Visit]) -> list[str]:
    found: list[str] = []
    async with site.page(color_scheme="light") as page:
        await begin(page)
        for visit in visits:
            await _go(page, *visit)
            found += [f"{visit}: {each}" for each in await faults(page)]
    return found


async def _go(page: Page, method: str, name: str, parameters: Mapping[str, str]) -> None:
    if method == "GET":
        await page.goto(address(name, parameters))
        return
    await page.goto("keys")
    async with page.expect_navigation():
        await page.evaluate(SEND, [name, dict(parameters)])


def _pages() -> set[str]:
    """Return the templates of pages: those that have the layout."""
    files = Path(render.__file__).parent.joinpath("templates").glob("*.html")
    return {each.name for each in files if 'extends "layout.html"' in each.read_text("utf-8")}
