"""The shop of `examples/django_shop` as its processes: a server, a worker, SQLite and Postgres."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.servers.ports import free_port
from tests.servers.postgres import HOST, PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.waiting import until

pytestmark = pytest.mark.system
SHOP: Final = Path(__file__).parents[2] / "examples" / "django_shop"
ORDER: Final = {"email": "ann@example.com", "item": "a kettle"}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Return the environment that names an empty database."""
    if request.param == "sqlite":
        yield {"SHOP_FILE": str(tmp_path / "shop.db")}
        return
    with PostgresServer(POSTGRES[-1]) as server:
        yield {"PGHOST": HOST, "PGPORT": str(server.port), "PGDATABASE": "postgres"}


class Shop:
    """The processes of one shop."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._environment.pop("QCORE_URL", None)
        self._folder = folder

    def manage(self, *words: str) -> str:
        """Run a command of `manage.py` to its end; return what it says."""
        done = subprocess.run(
            self._command(words),
            cwd=SHOP,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Run a command while the block lasts; it is killed at the end."""
        with (self._folder / f"{words[0]}.log").open("w") as log:
            process = subprocess.Popen(
                self._command(words), cwd=SHOP, env=self._environment, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "manage.py", *words]


def test_the_tests_of_the_shop_pass(database: Mapping[str, str], tmp_path: Path) -> None:
    """Its `TestCase` and its `TransactionTestCase`, as Django's runner runs them."""
    assert "Ran 4 tests" in Shop(database, tmp_path).manage("test", "--noinput")


def test_an_order_and_its_tasks_are_there_together(
    database: Mapping[str, str], tmp_path: Path
) -> None:
    """Or neither of them; what a worker that was killed has left is for the next one."""
    shop, port = Shop(database, tmp_path), free_port()
    shop.manage("migrate", "-v", "0")
    with (
        shop.running("runserver", "--noreload", f"{HOST}:{port}"),
        httpx.Client(base_url=f"http://{HOST}:{port}") as browser,
    ):
        until(lambda: _answers(browser), "an answer of the server")
        with shop.running("qcore", "worker") as worker:
            # the first to enqueue, and undone
            refused = browser.post("/orders/", data={**ORDER, "quantity": "11"})
            answer = browser.post("/orders/", data=ORDER)
            assert answer.status_code == 201, answer.text
            first = answer.json()["number"]
            until(lambda: _is_done(browser, first), "the first order")
            worker.kill()
        second = browser.post("/orders/", data=ORDER).json()["number"]
        assert refused.status_code == 409
        assert not _is_done(browser, second)
        shop.manage("qcore", "worker", "--burst")
        assert _is_done(browser, second)


def _answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/orders/1/").status_code in {200, 404}
    except httpx.TransportError:
        return False


def _is_done(browser: httpx.Client, number: int) -> Any:
    order = browser.get(f"/orders/{number}/").json()
    return order["is_confirmed"] and order["parcel"]
