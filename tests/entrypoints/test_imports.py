"""What a program imports of qcore, which costs it time at each start."""

import subprocess
import sys

ENQUEUES = """
import sys
from qcore import Context, Qcore

q = Qcore("memory://")

@q.task("mail:welcome")
async def send_welcome(ctx: Context, user: int) -> None: ...

send_welcome.enqueue_sync(user=7)
print(*sys.modules)
"""
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
    assert not imported & {*ONLY_WORKERS, *ONLY_OPERATORS, *ONLY_LOGS, *OTHER_STORES}
