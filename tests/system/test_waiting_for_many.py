"""The program of docs/how-to/wait-for-many-tasks.md, whose workers are killed one by one."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from qcore import NewTask, Qcore, State
from tests.servers.binaries import SERVERS
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_binaries import POSTGRES
from tests.servers.redis import RedisServer
from tests.system.kit import ROOT
from tests.system.yard import measured, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

PAGE = (ROOT / "docs" / "how-to" / "wait-for-many-tasks.md").read_text(encoding="utf-8")
[PROGRAM] = re.findall(r'```python title="albums.py"\n(.*?)```', PAGE, re.DOTALL)
SLOW = """
    import asyncio, os

    with open("runs", "a") as file:
        file.write(f"{ctx.id}\\n")
    await asyncio.sleep(0.2)
    return picture * picture
"""
PICTURES = range(400)
CREW = 3
KILLS = 6
BETWEEN_KILLS = 40
"""Runs of pictures."""


@contextmanager
def sqlite(folder: Path) -> Generator[str]:
    """Give an SQLite file."""
    yield f"sqlite:///{folder / 'albums.db'}"


@contextmanager
def redis(_: Path) -> Generator[str]:
    """Give a Redis."""
    with RedisServer(SERVERS[-1]) as server:
        yield server.url


@contextmanager
def postgres(_: Path) -> Generator[str]:
    """Give a Postgres."""
    with PostgresServer(POSTGRES[-1]) as server:
        yield server.url()


Store = Callable[[Path], AbstractContextManager[str]]


@pytest.mark.parametrize("store", [sqlite, redis, postgres])
async def test_an_album_is_packed_once_all_its_pictures_are_whoever_is_killed(
    store: Store, tmp_path: Path
) -> None:
    """Each picture is one task, and the sum is that of all."""
    source = PROGRAM.replace("\n    return picture * picture\n", SLOW)
    assert source != PROGRAM
    (tmp_path / "albums.py").write_text(source, encoding="utf-8")
    workers: list[subprocess.Popen[bytes]] = []

    def hire() -> None:
        command = [sys.executable, "-m", "qcore", "worker", "albums:q"]
        with (tmp_path / "log").open("ab") as log:
            workers.append(
                subprocess.Popen(
                    [*command, "--lease", "2", "--concurrency", "5", "--grace", "1"],
                    cwd=tmp_path,
                    env=os.environ | {"QCORE_URL": url},
                    stderr=log,
                )
            )

    with store(tmp_path) as url:
        q = Qcore(url)
        try:
            for _ in range(CREW):
                hire()
            payload = q.codec.dumps({"pictures": list(PICTURES)})
            album = NewTask("album:pack", id="album", payload=payload, retention=600)
            handle = await q.client.enqueue(album)
            for number in range(KILLS):
                runs = (number + 1) * BETWEEN_KILLS
                await until(lambda least=runs: len(lines(tmp_path)) >= least, "runs of pictures")
                workers[number].kill()
                hire()
            assert await handle.result(timeout=60) == sum(each * each for each in PICTURES)
            measured("runs of pictures", len(lines(tmp_path)))
            assert set(lines(tmp_path)) == {f"album-{number}" for number in PICTURES}
            totals = await q.inspector.totals()
            assert {state: n for state, n in totals.items() if n} == {
                State.COMPLETED: len(PICTURES) + 1
            }
        finally:
            await q.close()
            for each in workers:
                each.send_signal(signal.SIGKILL)
                each.wait()


def lines(folder: Path) -> list[str]:
    """Return the ids of the pictures whose runs have begun, in their order."""
    runs = folder / "runs"
    return runs.read_text(encoding="utf-8").split() if runs.exists() else []
