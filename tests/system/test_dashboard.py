"""`qcore dashboard` as a process: it serves pages until a signal comes."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from attrs import define

from qcore import Qcore
from qcore.testing.builders import a_task
from tests.system.kit import ROOT, until

pytestmark = pytest.mark.system


@pytest.fixture
async def store(tmp_path: Path) -> str:
    """Give the URL of a file with one task."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with Qcore(url) as q:
        await q.client.enqueue(a_task(name="email:welcome", queue="mail"))
    return url


@define
class Served:
    """The command, on a free port."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> str:
        """Return the address that its log names, "" before it does."""
        found = re.search(r"http://[\d.:]+/", self.log.read_text())
        return found[0] if found else ""

    async def listens(self) -> str:
        """Wait until it listens; return its address."""
        await until(lambda: bool(self.address), "its address in the log")
        return self.address


@contextmanager
def dashboard(url: str, log: Path, *options: str) -> Iterator[Served]:
    """Run the command while a block lasts."""
    command = [sys.executable, "-m", "qcore", "dashboard", "--port", "0", *options]
    with log.open("w") as output:
        environ = os.environ | {"QCORE_URL": url}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=output)
    try:
        yield Served(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
async def test_it_serves_pages_until_a_signal_comes(
    store: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Then it leaves with 0."""
    with dashboard(store, tmp_path / "log") as served:
        async with httpx.AsyncClient(base_url=await served.listens()) as http:
            page = await http.get("queue", params={"queue": "mail"})
        assert "email:welcome" in page.text
        served.process.send_signal(number)
        await until(lambda: served.process.poll() is not None, "its end")
        assert served.process.returncode == 0


async def test_it_opens_before_there_is_a_store(tmp_path: Path) -> None:
    """The page says what makes one, makes none, and shows it once it is there."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with dashboard(url, tmp_path / "log") as served:
        async with httpx.AsyncClient(base_url=await served.listens()) as http:
            page = await http.get("")
            assert page.status_code == 503
            assert "There is no store yet" in page.text
            assert not (tmp_path / "store.db").exists()
            async with Qcore(url) as q:
                await q.client.enqueue(a_task(name="email:welcome"))
            page = await http.get("tasks")
        assert "email:welcome" in page.text
    assert "there is no store yet" in served.log.read_text()


HOST = """
from starlette.applications import Starlette
from qcore import Qcore
from qcore.dashboard import dashboard

app = Starlette()
app.mount("/queues", dashboard(Qcore("memory://")))
"""
"""An application that has a dashboard."""


@contextmanager
def hosted(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve that application by uvicorn while a block lasts; give the process and its address."""
    (folder / "host.py").write_text(HOST)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.fileno()
        command = [sys.executable, "-m", "uvicorn", "host:app", "--fd", str(number)]
        process = subprocess.Popen(command, cwd=folder, pass_fds=[number])
        try:
            yield process, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.kill()
            process.wait()


async def test_an_application_leaves_while_a_page_is_live(tmp_path: Path) -> None:
    """Uvicorn would wait for the open stream for ever; the browser sees the end of its answer."""
    with hosted(tmp_path) as (process, url):
        async with (
            httpx.AsyncClient(base_url=url, timeout=60) as http,
            http.stream("GET", "/queues/live") as response,
        ):
            chunks = response.aiter_text()
            assert "opened" in await anext(chunks)
            process.send_signal(signal.SIGTERM)
            async for _ in chunks:
                # cut off, it raises
                pass
        await until(lambda: process.poll() is not None, "its end")
        assert process.returncode == -signal.SIGTERM


async def test_beyond_this_machine_a_token_is_asked_for(store: str, tmp_path: Path) -> None:
    """The one in the file, which no log and no page repeats."""
    token = secrets.token_urlsafe()
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    options = ("--host", "0.0.0.0", "--token-file", str(file))  # noqa: S104
    with dashboard(store, tmp_path / "log", *options) as served:
        here = (await served.listens()).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        async with httpx.AsyncClient(base_url=here) as http:
            page = await http.get("")
            assert page.status_code == 401
            headers = {"origin": here.rstrip("/")}
            page = await http.post("login", data={"token": token, "name": "Ann"}, headers=headers)
            assert page.status_code == 303
            page = await http.get("tasks")
            assert "email:welcome" in page.text
            assert token not in page.text
    assert token not in served.log.read_text()
