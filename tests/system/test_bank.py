"""The bank of `examples/bank` as its README starts it: an API and a worker, on two SQLite files."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.system.kit import ROOT

API = ["uvicorn", "examples.bank.asgi:app", "--port", "0"]
WORKER = ["qcore", "worker", "examples.bank.tasks:q"]
ANN = {"username": "ann", "full_name": "Ann Example", "email": "ann@example.com"}


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a folder; kill it in the end if it is still there."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("QCORE_")}
    paths = [str(ROOT / "src"), str(ROOT)]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=mine | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def found(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what a process says until a line has a pattern; return what that is."""
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if match := re.search(pattern, line):
            return match[0]
    raise AssertionError(f"it ended without {pattern}:\n{''.join(said)}")


@pytest.mark.system
def test_a_user_is_verified_by_the_link_of_the_email(tmp_path: Path) -> None:
    """Two processes that share nothing but the files; and both leave when they are asked to."""
    with started(API, tmp_path) as api, started(WORKER, tmp_path) as worker:
        site = found(api, r"http://127\.0\.0\.1:\d+")
        assert httpx.post(f"{site}/users", json=ANN).status_code == 201

        query = found(worker, r"username=ann&code=[\w-]+")
        assert httpx.get(f"{site}/verify-email?{query}").status_code == 200
        assert httpx.get(f"{site}/users/ann").json()["is_verified"] is True

        worker.send_signal(signal.SIGTERM)
        api.send_signal(signal.SIGTERM)
        found(worker, "worker stopped")
        found(api, "Application shutdown complete")
        assert worker.wait(30) == 0
        # uvicorn ends by the signal that it was sent, once it is done
        assert api.wait(30) in {0, -signal.SIGTERM}
