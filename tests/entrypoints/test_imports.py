"""What a program imports of qcore, which costs it time at each start, and memory."""

import subprocess
import sys
from pathlib import Path

ENQUEUES = """
import sys
from qcore import Context, Qcore

q = Qcore("memory://")

@q.task("mail:welcome")
async def send_welcome(ctx: Context, user: int) -> None: ...

send_welcome.enqueue_sync(user=7)
print(*sys.modules)
"""
WORKS = """
import atexit
import linecache
import sys
from qcore import Context, Qcore

q = Qcore("memory://")

@q.task("mail:welcome")
async def send_welcome(ctx: Context, user: int) -> None: ...

atexit.register(lambda: print(*sys.modules))
atexit.register(lambda: print(sum(name.startswith("<attrs") for name in linecache.cache)))
"""
ONLY_PROCESSES = ("multiprocessing", "qcore.app.worker.pools.child_process")
ONLY_HEALTH = ("h11", "qcore.entrypoints.health.server")
ONLY_SUPERVISORS = ("qcore.entrypoints.supervisor.run",)
ONLY_WORKERS = ("qcore.app.worker.worker", "multiprocessing")
ONLY_OPERATORS = ("qcore.app.client.inspector", "qcore.app.client.entries")
ONLY_LOGS = ("structlog", "rich")
OTHER_STORES = ("qcore.adapters.sqlite", "sqlite3", "redis", "psycopg")


def test_a_program_that_only_enqueues_imports_little() -> None:
    """It imports no worker, no inspector, no log and no other store."""
    ran = subprocess.run(
        [sys.executable, "-c", ENQUEUES], capture_output=True, text=True, check=True
    )
    imported = set(ran.stdout.split())

    assert "qcore.app.client.client" in imported
    needless = {*ONLY_WORKERS, *ONLY_OPERATORS, *ONLY_LOGS, *OTHER_STORES}
    assert imported & needless == set()


def test_a_worker_keeps_no_memory_for_what_it_has_no_use_for(tmp_path: Path) -> None:
    """No pool of processes, no health port, no supervisor, and no source of what attrs makes."""
    (tmp_path / "app.py").write_text(WORKS)
    command = [sys.executable, "-m", "qcore", "worker", "app:q", "--burst"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    sources, modules = ran.stdout.splitlines()
    imported = set(modules.split())

    assert "qcore.app.worker.session" in imported
    needless = {*ONLY_PROCESSES, *ONLY_HEALTH, *ONLY_SUPERVISORS, *OTHER_STORES}
    assert imported & needless == set()
    assert sources == "0"
