"""A database is a file, its log and its index: what becomes of tasks when one of them moves."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from qcore.adapters.links.sqlite import BlockingSqliteLink, lost_log, only_name
from qcore.adapters.links.sqlite import connection as connection_module
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Duplicate, LeaseLost, Settled
from qcore.domain.errors import BrokerUnusable
from qcore.domain.queue_limits import SetInFlight
from qcore.domain.run_details import DetailsUpdate
from qcore.domain.states import State
from qcore.domain.task import Claim, Verdict, updated
from qcore.domain.transitions import Failed, Snoozed, Succeeded
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")


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


OTHER = """
import json, os, sys
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.errors import QcoreError
from qcore.domain.new_task import NewTask

for line in sys.stdin:
    end, path, *ids = json.loads(line)
    broker = SqliteBroker(BlockingSqliteLink(path))
    try:
        run_inline(broker.enqueue([NewTask("mail", id=id) for id in ids], now=1_800_000_000.0))
        error = ""
    except QcoreError as why:
        error = str(why)
    if end == "kill":
        os.kill(os.getpid(), 9)
    if end == "exit":
        break
    run_inline(broker.close())
    print(error, flush=True)
"""

Elsewhere = Callable[..., str]


def started() -> subprocess.Popen[str]:
    """Start a process that enqueues tasks on order."""
    script = [sys.executable, "-c", OTHER]
    return subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """Enqueue tasks from another process, which opens the file and leaves; return its error."""
    with started() as process:

        def put(path: Path, *ids: str) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            print(json.dumps(["close", str(path), *ids]), file=process.stdin, flush=True)
            return process.stdout.readline().strip()

        yield put
        process.communicate()


def put(path: Path, *ids: str) -> None:
    """Enqueue tasks by a broker that comes and goes."""
    broker = broker_of(path)
    run_inline(broker.enqueue([a_task(id=each) for each in ids], now=NOW))
    run_inline(broker.close())


def ids_in(broker: SqliteBroker) -> set[str]:
    """Return the ids of the pending tasks, as a broker sees them."""
    page = run_inline(broker.browse("default", State.PENDING, 100))
    assert run_inline(broker.count()) == {"default": {State.PENDING: len(page.tasks)}}
    return {task.id for task in page.tasks}


def is_whole(path: Path) -> bool:
    """Return whether SQLite finds the file undamaged."""
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


REMOVED = {"the log": ["-wal"], "its index": ["-shm"], "both": ["-wal", "-shm"]}
MADE_ANEW = {name: REMOVED[name] for name in ("its index", "both")}
"""What another process makes anew; while only the log is gone, it cannot read the file."""


@pytest.fixture(autouse=True)
def _log_is_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for log and index before each call, rather than every tenth of a second."""
    monkeypatch.setattr(connection_module, "LOG_CHECK_INTERVAL", 0.0)


@pytest.mark.parametrize("suffixes", REMOVED.values(), ids=REMOVED)
def test_a_log_that_is_removed_while_it_is_open_is_folded_into_the_file(
    path: Path, suffixes: list[str], elsewhere: Elsewhere
) -> None:
    """What was in it is there for all, and everything is written to a new log from then on."""
    users = [broker_of(path), broker_of(path)]
    for n, user in enumerate(users):
        run_inline(user.enqueue([a_task(id=f"before{n}")], now=NOW))
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()
    with capture_logs() as logs:
        assert ids_in(users[0]) == {"before0", "before1"}
    assert [each["event"] for each in logs] == ["the log of the database was removed or replaced"]
    elsewhere(path, "after")
    for user in users:
        assert ids_in(user) == {"before0", "before1", "after"}
        run_inline(user.close())
    assert is_whole(path)
    assert not [*path.parent.glob("*-lost-*")]


@pytest.mark.parametrize("suffixes", MADE_ANEW.values(), ids=MADE_ANEW)
@pytest.mark.parametrize("meanwhile", [["new"], ["new", "before0"]], ids=["another", "the same id"])
def test_tasks_of_a_lost_log_are_merged_with_those_of_the_new_one(
    path: Path, suffixes: list[str], meanwhile: list[str], elsewhere: Elsewhere
) -> None:
    """Another process has made a new log before anybody noticed: all tasks are there in the end."""
    users = [broker_of(path), broker_of(path)]
    for n, user in enumerate(users):
        run_inline(user.enqueue([a_task(id=f"before{n}", unique_key=f"k{n}")], now=NOW))
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()
    elsewhere(path, *meanwhile)
    run_inline(users[1].enqueue([a_task(id="after")], now=NOW))
    for user in users:
        assert ids_in(user) == {"before0", "before1", "new", "after"}
        run_inline(user.close())
    assert is_whole(path)
    assert not [*path.parent.glob("*-lost-*")]


def test_a_log_that_is_missed_by_others_is_named(path: Path, elsewhere: Elsewhere) -> None:
    """Until those who have it open notice, and fold it, nothing is accepted that would be lost."""
    user = broker_of(path)
    run_inline(user.enqueue([a_task(id="before")], now=NOW))
    Path(f"{path}-wal").unlink()
    assert "was its log (-wal) removed?" in elsewhere(path, "lost")
    assert ids_in(user) == {"before"}
    assert elsewhere(path, "new") == ""
    assert ids_in(user) == {"before", "new"}
    run_inline(user.close())


@pytest.mark.parametrize("suffixes", MADE_ANEW.values(), ids=MADE_ANEW)
def test_a_connection_that_has_lost_its_log_leaves_the_new_one_when_it_is_closed(
    path: Path, suffixes: list[str], elsewhere: Elsewhere
) -> None:
    """SQLite removes the log, by its name, with the last connection: that log is another's."""
    user = broker_of(path)
    run_inline(user.enqueue([a_task(id="before")], now=NOW))
    for suffix in suffixes:
        Path(f"{path}{suffix}").unlink()
    elsewhere(path, "new")
    run_inline(user.close())
    after = broker_of(path)
    assert ids_in(after) == {"before", "new"}
    run_inline(after.close())
    assert is_whole(path)


def refused(path: Path, broker: SqliteBroker | None = None) -> str:
    """Return why a broker cannot use a file."""
    broker = broker or broker_of(path)
    with pytest.raises(BrokerUnusable) as why:
        run_inline(broker.open())
    return str(why.value)


def test_a_lost_log_that_others_of_the_process_have_open_is_left_by_nobody(path: Path) -> None:
    """SQLite gives one process one index, so a new log would be read by the old one's."""
    user = broker_of(path)
    run_inline(user.enqueue([a_task(id="before")], now=NOW))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM qcore_tasks").fetchone()
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink()
        assert "close it, or start the process anew" in refused(path, user)
    assert ids_in(user) == {"before"}
    run_inline(user.close())


def test_what_cannot_be_merged_is_kept_in_a_copy(
    path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere
) -> None:
    """Its name is in the log, and the broker goes on."""
    monkeypatch.setattr(lost_log, "_merged", Mock(side_effect=sqlite3.OperationalError("no")))
    user = broker_of(path)
    run_inline(user.enqueue([a_task(id="before")], now=NOW))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    elsewhere(path, "new")
    with capture_logs() as logs:
        assert ids_in(user) == {"new"}
    run_inline(user.close())
    (copy,) = path.parent.glob("qcore.db-lost-*")
    assert logs[-1]["copy"] == str(copy)
    assert ids_in(broker_of(copy)) == {"before"}


def test_what_a_run_left_is_merged_with_its_task(path: Path, elsewhere: Elsewhere) -> None:
    """Progress, saved work, the audit trail, the limits of a queue, a unique key that is free."""
    user = broker_of(path)
    run_inline(user.enqueue([a_task(id="one", unique_key="k")], now=NOW))
    run_inline(user.execute("default", ["one"], evolve(updated(priority=1), by="ann"), now=NOW))
    run_inline(user.set_limit("default", SetInFlight(3), now=NOW))
    claim = claimed(user, NOW)
    run_inline(user.save_details([DetailsUpdate(claim.lease, saved=b"half")]))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    elsewhere(path, "new")
    assert run_inline(user.settle([Verdict(claim.lease, Snoozed(NOW + 9))], now=NOW)) == [
        Settled(State.SCHEDULED)
    ]
    (details,) = run_inline(user.details("default", ["one"]))
    assert details is not None
    assert (details.saved, [each.by for each in details.audit]) == (b"half", ["ann"])
    assert run_inline(user.limits(["default"]))[0].in_flight == 3
    answers = run_inline(user.enqueue([a_task(unique_key="k")], now=NOW))
    assert isinstance(answers[0], Duplicate)
    run_inline(user.close())


def test_a_file_of_two_names_is_refused(path: Path) -> None:
    """A hard link has a log of its own; a symbolic link has not."""
    put(path, "one")
    symbolic, hard = (path.with_name(name) for name in ("symbolic.db", "hard.db"))
    symbolic.symlink_to(path)
    put(symbolic, "two")
    hard.hardlink_to(path)
    for name in (path, hard, symbolic):
        assert "the file has 2 names (hard links)" in refused(name)
    hard.unlink()
    put(path, "three")
    assert ids_in(broker_of(symbolic)) == {"one", "two", "three"}


def test_a_file_that_is_mounted_by_itself_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log would lie beside the place where it is mounted, and vanish with the container."""
    path = path.with_name("my queue.db")
    put(path, "one")
    mounts = path.with_name("mounts")
    root = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw"
    point = str(path).replace(" ", "\\040")
    mounts.write_text(f"{root}\n90 21 254:0 /srv/q.db {point} rw,relatime - ext4 /dev/vda rw\n")
    monkeypatch.setattr(only_name, "MOUNTS", mounts)
    assert "mount the folder" in refused(path)
    mounts.write_text(f"{root}\n90 21 254:0 /srv {path.parent} rw - ext4 /dev/vda rw\n")
    put(path, "two")
    monkeypatch.setattr(only_name, "MOUNTS", path.with_name("not Linux"))
    put(path, "three")


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_last_user_leaves_everything_in_the_file(path: Path, end: str) -> None:
    """Also one that never closed anything, and who comes after one that was killed."""
    process = started()
    process.communicate(json.dumps([end, str(path), "one"]), timeout=60)
    assert process.returncode == (0 if end == "exit" else -9)
    if end == "kill":
        put(path, "two")
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    assert ids_in(broker_of(copy)) == ({"one"} if end == "exit" else {"one", "two"})
    assert not path.with_name("qcore.db-wal").exists()


FORKED = """
import multiprocessing, sys
from qcore import Context, Qcore
q = Qcore(f"sqlite:///{sys.argv[1]}")
@q.task("one")
def one(ctx: Context) -> None: ...
def work(): one.using(task_id="one").enqueue_sync()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
sys.exit(child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_multiprocessing_leaves_everything_in_the_file(path: Path) -> None:
    """It ends without the hooks of `atexit`, and without closing what it has open."""
    subprocess.run([sys.executable, "-c", FORKED, path], check=True, timeout=60)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert ids_in(broker_of(path)) == {"one"}


def test_those_who_leave_together_leave_everything_in_the_file(path: Path) -> None:
    """Each takes the other for one that stays: SQLite folds the log for the last one only."""
    broker = broker_of(path)
    run_inline(broker.enqueue([a_task(id="one")], now=NOW))
    with closing(sqlite3.connect(path)) as staying:
        staying.execute("SELECT count(*) FROM qcore_tasks").fetchone()
        run_inline(broker.close())
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
    assert ids_in(broker_of(copy)) == {"one"}


def test_a_log_that_a_reader_has_kept_is_cut_when_it_leaves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no more room than it needs."""
    monkeypatch.setattr(connection_module, "LOG_LIMIT", 0)
    broker = broker_of(path)
    run_inline(broker.open())
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM qcore_tasks").fetchone()
        run_inline(broker.enqueue([a_task(payload=b"x" * 500_000)], now=NOW))
        reader.execute("COMMIT")
    log = path.with_name("qcore.db-wal")
    assert log.stat().st_size > 500_000
    with closing(sqlite3.connect(path)) as folding:
        folding.execute("PRAGMA wal_checkpoint")
    run_inline(broker.enqueue([a_task()], now=NOW))
    assert log.stat().st_size < 100_000
    run_inline(broker.close())
