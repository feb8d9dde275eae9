import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.cli_kit import invoke, lines_of, working_in, write

QUEUE = """
from qcore import Qcore
from shop import mail

q = Qcore("sqlite:///tasks.db", defaults={"retention": 60})
q.include(mail.router, prefix="mail:")
"""
MAIL = """
from qcore import Context, Router

router = Router()

@router.task("send", queue="low")
async def send(ctx: Context, to: str) -> None:
    ctx.log.info("sent", to=to)

@router.task("render", process=True)
def render(ctx: Context, to: str) -> None:
    ctx.then(send.call(to=to))
    ctx.log.info("rendered", to=to)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with an application whose tasks are on a router."""
    write(tmp_path, "shop.queue", QUEUE)
    write(tmp_path, "shop.mail", MAIL)
    with working_in(tmp_path, monkeypatch):
        yield tmp_path


def test_a_worker_runs_the_tasks_of_routers() -> None:
    """They are in its start line, and their queues are served."""
    [started] = [
        line
        for line in lines_of(invoke("worker", "shop.queue:q", "--burst"))
        if line["event"] == "worker started"
    ]
    assert started["tasks"] == ["mail:send", "mail:render"]
    assert started["queues"] == ["default", "low"]


def test_a_child_process_knows_the_queue_that_includes_its_router() -> None:
    """It imports that module too: its task is followed up under its full name."""
    code = "import shop.queue; shop.queue.mail.render.enqueue_sync(to='ann')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    command = [sys.executable, "-m", "qcore", "worker", "shop.queue:q", "--burst"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert '"event": "rendered"' in done.stderr
    assert '"event": "sent"' in done.stderr
    assert "error" not in done.stderr


def test_a_name_that_a_router_declares_too_is_one_line(home: Path) -> None:
    """It says which, and where the first is from."""
    write(home, "shop.queue", QUEUE + "@q.task('mail:send')\nasync def again(ctx): ...\n")
    result = invoke("worker", "shop.queue:q")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "cannot import shop.queue: 'mail:send' has a handler already, <function send" in line
