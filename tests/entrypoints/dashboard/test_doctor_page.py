"""The doctor's findings as a page."""

from pathlib import Path

import pytest

from qcore import Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.dashboard import dashboard
from qcore.diagnostics import Finding, advice, error, ok
from qcore.testing import ManualClock
from tests.entrypoints.dashboard.hostile import CANARY, WORD
from tests.entrypoints.dashboard.kit import as_role, browser, read, text_of


class Examined(MemoryBroker):
    """A broker that has findings of its own."""

    async def diagnose(self) -> list[Finding]:
        return [
            ok("connection", "it can be opened"),
            error("memory", f"redis://ann:hunter2@db is full {WORD}", "give it more"),
            advice("version", "a newer one is there"),
        ]


def examined() -> Qcore:
    """Return a queue on it."""
    return Qcore(broker=Examined(), clock=ManualClock(), instruments=[])


async def test_an_examination_shows_what_is_broken_first() -> None:
    """With what to do about it, and without passwords."""
    at = browser(dashboard(examined()))
    assert "Examine the store" in text_of(await at.page("doctor"))
    response = await at.post("doctor")
    html = read(response)
    assert [each.text() for each in html.css(".problems .badge")] == ["error", "advice", "ok"]
    assert "→ give it more" in text_of(html)
    assert "hunter2" not in response.text
    assert html.css(CANARY) == []


async def test_what_the_last_examination_has_found_stays_on_the_overview() -> None:
    """What is broken; to those who may ask for one, and on the page of the doctor, with its age."""
    q = examined()
    app = dashboard(q, access=lambda request: {"*"} if "ann" in request.headers else {"*.read"})
    ann, ben = browser(app), browser(app)
    ann.http.headers["ann"] = "yes"
    assert "is full" not in (await ann.get()).text
    await ann.post("doctor")
    html = await ann.page()
    [problem] = [each for each in html.css(".problems li") if "is full" in each.text()]
    assert "give it more" in problem.text()
    assert "Memory: redis" in problem.text()
    assert "a newer one is there" not in text_of(html)
    assert html.css(CANARY) == []
    assert "is full" not in (await ben.get()).text
    q.clock.advance(180)  # type: ignore[attr-defined]
    again = text_of(await ann.page("doctor"))
    assert "is full" in again
    assert "3 min ago" in again


@pytest.mark.parametrize("right", ["*.read", "*@mail*", "store.examine@mail"])
async def test_who_may_not_do_that_cannot_have_it_examined(right: str) -> None:
    """It writes to try things out, and tells of all queues."""
    at = browser(as_role(examined(), {right}))
    assert (await at.get("doctor")).status_code == 404
    assert (await at.post("doctor")).status_code == 404
    assert "doctor" not in (await at.get()).text


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_each_store_can_be_examined(kind: str, tmp_path: Path) -> None:
    """As by the command."""
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    async with Qcore(url, instruments=[]) as q:
        response = await browser(dashboard(q)).post("doctor")
        assert response.status_code == 200
        assert read(response).css(".problems li")
