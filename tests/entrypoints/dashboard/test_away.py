"""A store that does not answer: the page says so, and the next one is made when it is back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore import BrokerUnavailable, Qcore
from qcore.adapters.memory import MemoryBroker
from qcore.dashboard import dashboard
from qcore.domain.errors import BrokerUnusable
from qcore.entrypoints.dashboard import app
from qcore.testing import ManualClock, a_task
from qcore.testing.builders import NOW, a_demand
from tests.entrypoints.dashboard.kit import browser, put, read, text_of
from tests.entrypoints.dashboard.walking import FOUND, ROUTES, ask

ERRORS = [
    BrokerUnavailable("cannot reach redis://ann:hunter2@db:6379/0: refused"),
    BrokerUnusable("no table"),
    ConnectionResetError(),
]


class Moody(MemoryBroker):
    """A broker that raises while it is told to."""

    error: BaseException | None = None

    async def count(self) -> Any:
        if self.error is not None:
            raise self.error
        return await super().count()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_store_that_is_away_is_told_and_comes_back(error: Exception) -> None:
    """With 503, a page that loads itself again without a script, and no password."""
    broker = Moody()
    at = browser(dashboard(Qcore(broker=broker, clock=ManualClock(), instruments=[])))
    broker.error = error
    with capture_logs() as lines:
        response = await at.get()
    assert response.status_code == 503
    assert response.headers["retry-after"]
    html = read(response)
    assert html.css('meta[http-equiv="refresh"]')
    assert "does not answer" in text_of(html)
    assert "hunter2" not in response.text + str(lines)
    broker.error = None
    assert (await at.get()).status_code == 200


async def test_the_password_of_a_store_is_in_no_page_and_no_line() -> None:
    """Neither where the store is named, nor where it is said why it does not answer."""
    q = Qcore("redis://ann:hunter2@127.0.0.1:1/0", instruments=[])
    at = browser(dashboard(q))
    with capture_logs() as lines:
        for route in ROUTES:
            response = await ask(at, route)
            assert "hunter2" not in response.text, route.name
    assert "hunter2" not in str(lines)
    # a URL has no capital at its beginning, unlike a sentence
    assert "redis://ann@127.0.0.1:1/0: nothing listens there" in text_of(read(await at.get()))
    await q.close()


async def test_no_page_makes_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Those of the store say that there is none, and are made once somebody else has made it."""
    url = f"sqlite:///{tmp_path}/qcore.db"
    q = Qcore(url, instruments=[])
    q.broker.link.never_make_file()  # type: ignore[attr-defined]
    at = browser(dashboard(q))
    for route in ROUTES:
        response = await ask(at, route)
        assert response.status_code != 500, route.name
        if route.method == "GET" and route.nav:
            assert response.status_code == 503, route.name
            assert "There is no store yet" in text_of(read(response))
    assert _files_in(tmp_path) == []
    async with Qcore(url, instruments=[]) as other:
        await other.client.enqueue(a_task(name="email:welcome"))
    assert "email:welcome" in text_of(await at.page("tasks"))
    await q.close()


def _files_in(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def test_a_store_that_hangs_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is not waited for without end."""
    monkeypatch.setattr(app, "PAGE_TIMEOUT", 0.01)

    class Hanging(MemoryBroker):
        async def count(self) -> Any:
            await asyncio.Event().wait()

    at = browser(dashboard(Qcore(broker=Hanging(), clock=ManualClock(), instruments=[])))
    assert (await at.get()).status_code == 503


async def test_a_fault_of_ours_shows_nothing_of_itself() -> None:
    """The visitor gets a number under which the log has the traceback."""
    broker = Moody()
    broker.error = ZeroDivisionError("a secret of the program")
    at = browser(dashboard(Qcore(broker=broker, clock=ManualClock(), instruments=[])))
    with capture_logs() as lines:
        response = await at.get()
    assert response.status_code == 500
    assert "secret" not in response.text
    [line] = lines
    assert line["number"] in response.text
    assert "ZeroDivisionError" in line["traceback"]


async def test_a_broker_that_can_do_little_has_pages_all_the_same() -> None:
    """No limits, no statistics, no workers, no entries: what is there is shown."""

    class Plain(MemoryBroker):
        capabilities = frozenset()  # type: ignore[assignment]

    q = Qcore(broker=Plain(), clock=ManualClock(), instruments=[])
    at = browser(dashboard(q))
    for route in ROUTES:
        if route.method == "GET" and not route.per_queue:
            assert (await ask(at, route)).status_code in FOUND, route.name
    assert (await at.get("queue", queue="mail")).status_code == 200
    await put(q, id="a", queue="mail")
    await q.broker.claim(a_demand(1, mail=1), now=NOW, until=NOW + 60)
    text = text_of(await at.page("task", queue="mail", id="a"))
    assert "active" in text
    assert "No worker tells of it" not in text
