"""End hooks, where the worker that has settled a task is killed before it calls them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

APPLICATION = """
import asyncio, os, signal, sys
from qcore import Context, Qcore
from qcore.events import TasksSettled
from qcore.tasks import Ended

q = Qcore("sqlite:///ends.db", instruments=[])


@q.task("pay")
def pay(ctx: Context) -> None: ...


@q.on_end("pay")
def tell(ctx: Context, end: Ended) -> None:
    with open("told", "a") as file:
        file.write(f"{end.id} {end.state}\\n")


class Killer:
    wants = {TasksSettled}

    def __call__(self, event):
        os.kill(os.getpid(), signal.SIGKILL)


if sys.argv[1] == "killed":
    q.add_instrument(Killer())
asyncio.run(q.worker(burst=True, lease=2).run())
"""
SEED = """
from qcore import NewTask, Qcore

q = Qcore("sqlite:///ends.db", instruments=[])
q.blocking.enqueue(NewTask("pay", id="1"))
q.blocking.close()
"""


@pytest.mark.system
def test_a_hook_is_called_though_the_worker_was_killed_after_it_had_settled(
    tmp_path: Path,
) -> None:
    """Its task was stored in the step of the verdict: the next worker calls it, once."""
    (tmp_path / "app.py").write_text(APPLICATION)

    def run(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, check=False, timeout=60
        ).returncode

    assert run("-c", SEED) == 0
    assert run("app.py", "killed") == -signal.SIGKILL
    assert not (tmp_path / "told").exists()
    assert run("app.py", "healthy") == 0
    assert (tmp_path / "told").read_text() == "1 completed\n"
