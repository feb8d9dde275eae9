"""A database is a file, its log and its index: what becomes of tasks when one of them moves."""

import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.lifecycle import Failed, State, Succeeded
from qcore.domain.task import Claim, Verdict
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "qcore.db"


def broker_of(path: Path) -> SqliteBroker:
    """Return a broker on a file; as good as that of another process."""
    return SqliteBroker(BlockingSqliteLink(path))


def claimed(broker: SqliteBroker, now: float) -> Claim:
    """Claim the one task there is."""
    (claim,) = run_inline(broker.claim(a_demand(), now=now, until=now + LEASE))
    return claim


def restored(path: Path) -> None:
    """Put a copy back in the place of the database, as after a disk was lost."""
    for file in path.parent.glob("qcore.db*"):
        file.unlink()
    shutil.copy(path.with_name("copy.db"), path)


def removed(path: Path) -> None:
    """Remove the database, and make it anew with the same task."""
    for file in path.parent.glob("qcore.db*"):
        file.unlink()
    broker = broker_of(path)
    run_inline(broker.enqueue([a_task(id="one", retention=60)], now=NOW))
    run_inline(broker.close())


@pytest.mark.parametrize("replace", [restored, removed])
def test_a_verdict_from_before_a_restore_is_refused(
    path: Path, replace: Callable[[Path], None]
) -> None:
    """The file has forgotten the tokens that it gave last, and gives greater ones all the same."""
    stale, rightful = broker_of(path), broker_of(path)
    run_inline(stale.enqueue([a_task(id="one", retention=60)], now=NOW))
    with (
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(path.with_name("copy.db"))) as copy,
    ):
        source.backup(copy)
    before = claimed(stale, NOW + 1)
    replace(path)
    after = claimed(rightful, NOW + 2)
    assert after.lease.token > before.lease.token
    late = run_inline(stale.settle([Verdict(before.lease, Succeeded(b"1"))], now=NOW + 3))
    assert late == [LeaseLost()]
    verdict = Verdict(after.lease, Failed("no", again_at=NOW + 5))
    assert run_inline(rightful.settle([verdict], now=NOW + 3)) == [Settled(State.RETRY)]
    for broker in (stale, rightful):
        run_inline(broker.close())
