"""`qcore scheduler`: a process that makes ticks and runs nothing."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.cli_kit import invoke, working_in, write

APP = """
from datetime import timedelta

from qcore import Context, Qcore

q = Qcore("memory://")


@q.every(timedelta(seconds=0.2))
@q.task("report")
async def report(ctx: Context) -> None:
    print("this runs nowhere")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with an application, in which commands work."""
    write(tmp_path, "app", APP)
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


async def test_a_scheduler_makes_ticks_until_it_is_told_to_stop(folder: Path) -> None:
    """It runs no task, and ends with status 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qcore", "scheduler", "app:q", "--log-level", "debug"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            for expected in (b"scheduler started", b"ticked", b"ticked"):
                while expected not in (line := await process.stderr.readline()):
                    assert line, "it has ended"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert await process.stdout.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_scheduler_needs_an_application(folder: Path) -> None:
    """As a worker does; one that cannot be imported is an error of one line."""
    result = invoke("scheduler")
    assert result.exit_code == 2
    assert "no application is named" in result.output
    result = invoke("scheduler", "nope:q")
    assert result.exit_code == 2
    assert "there is no module 'nope'" in result.output
