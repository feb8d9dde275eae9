"""Entries of periodic tasks in a file: many schedulers, a caller's transaction, a lost log."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.links.sqlite import connection as connection_module
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Enqueued
from qcore.domain.errors import InvalidTask
from qcore.domain.ids import tick_id
from qcore.domain.periodic.changes import EntryAnswer, EntryConflict
from qcore.domain.states import State
from qcore.domain.task import Verdict
from qcore.domain.transitions import Succeeded
from qcore.testing.builders import LEASE, NOW, a_demand
from qcore.testing.entries import (
    an_entry,
    find_entry,
    made,
    put_entry,
    removed,
    stored_entry,
    tick,
    write,
    written,
)

WRITERS = 10
SURVIVORS = 4
TICKS = 20

SCHEDULER = """
import sqlite3, sys
from qcore.adapters.links.sqlite import BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import Enqueued
from qcore.testing.builders import NOW
from qcore.testing.entries import decided

path, ticks, stops = sys.argv[1], int(sys.argv[2]), sys.argv[3]
link = BlockingSqliteLink(path, timeout=60)
if stops == "in the transaction":
    # nobody commits it
    link = BorrowedSqliteLink(sqlite3.connect(path, timeout=60))
broker = SqliteBroker(link)

def stop():
    print("stopped", flush=True)
    sys.stdin.readline()

print("ready", flush=True)
sys.stdin.readline()
tasks = refused = 0
for n in range(1, ticks + 1):
    now = NOW + 60 * n
    changes = run_inline(decided(broker, now=now))
    if stops == "before it writes":
        stop()
    for answer in run_inline(broker.write_entries(changes, now=now)):
        for admission in getattr(answer, "admissions", ()):
            tasks += isinstance(admission, Enqueued)
            refused += not isinstance(admission, Enqueued)
    if stops == "in the transaction" and changes:
        stop()
print(tasks, refused, flush=True)
"""


def broker_of(path: Path) -> SqliteBroker:
    """Return a broker on a file; as good as that of another process."""
    return SqliteBroker(BlockingSqliteLink(path, timeout=60, synchronous="normal"))


def all_ticks(*entries: str, last: int) -> list[str]:
    """Return the ids of the tasks of all ticks of entries."""
    return sorted(tick_id(each, NOW + 60 * n) for each in entries for n in range(1, last + 1))


def pending(broker: SqliteBroker) -> list[str]:
    """Return the ids of the pending tasks, sorted."""
    page = run_inline(broker.browse("default", State.PENDING, 1_000))
    return sorted(task.id for task in page.tasks)


def test_ten_schedulers_on_one_file_make_each_tick_once(path: Path) -> None:
    """Each with a connection of its own; who comes second is told of a conflict."""
    brokers = [broker_of(path) for _ in range(WRITERS)]
    for each in ("a", "b"):
        run_inline(put_entry(brokers[0], an_entry(each, missed="all")))
    start = Barrier(WRITERS)

    def schedule(broker: SqliteBroker) -> list[EntryAnswer]:
        start.wait()
        ticks = (run_inline(tick(broker, now=NOW + 60 * n)) for n in range(1, TICKS + 1))
        return [answer for answers in ticks for answer in answers]

    with ThreadPoolExecutor(WRITERS) as threads:
        answers = [each for found in threads.map(schedule, brokers) for each in found]
    admissions = [
        admission
        for answer in answers
        if not isinstance(answer, EntryConflict)
        for admission in answer.admissions
    ]
    assert {type(each) for each in admissions} == {Enqueued}
    assert pending(brokers[0]) == all_ticks("a", "b", last=TICKS)
    assert run_inline(stored_entry(brokers[0], "a")).state.runs == TICKS
    for broker in brokers:
        run_inline(broker.close())


def scheduler(path: Path, stops: str = "never") -> "subprocess.Popen[str]":
    """Start a process that ticks through all the moments, and may stop on its way."""
    command = [sys.executable, "-c", SCHEDULER, str(path), str(TICKS), stops]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: "subprocess.Popen[str]") -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: "subprocess.Popen[str]") -> None:
    """Let a process go on that waits."""
    print(file=process.stdin, flush=True)


@pytest.mark.system
def test_a_scheduler_that_is_killed_leaves_no_half_of_a_tick(path: Path) -> None:
    """One between reading and writing, one before its commit; the others make each tick once."""
    broker = broker_of(path)
    run_inline(put_entry(broker, an_entry(missed="all")))
    doomed = [scheduler(path, stops) for stops in ("in the transaction", "before it writes")]
    others = [scheduler(path) for _ in range(SURVIVORS)]
    everybody = [*doomed, *others]
    assert [told(each) for each in everybody] == ["ready"] * len(everybody)
    for each in doomed:
        go_on(each)
        assert told(each) == "stopped"
    for each in others:
        # they see the same tick, and wait for the lock of the one that will not commit it
        go_on(each)
    assert run_inline(stored_entry(broker)).state.runs == 0
    for each in doomed:
        each.send_signal(signal.SIGKILL)
        assert each.wait() == -signal.SIGKILL
    said = [tuple(map(int, told(each).split())) for each in others]
    assert sum(tasks for tasks, _ in said) == TICKS
    assert sum(refused for _, refused in said) == 0
    assert pending(broker) == all_ticks("report", last=TICKS)
    stored = run_inline(stored_entry(broker)).state
    assert (stored.runs, stored.next) == (TICKS, NOW + 60 * (TICKS + 1))
    for each in everybody:
        each.communicate()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    run_inline(broker.close())


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """An application's connection to a file in which an entry lies."""
    broker = broker_of(path)
    run_inline(put_entry(broker, an_entry()))
    run_inline(broker.close())
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def test_entries_are_written_in_the_transaction_of_a_caller(
    path: Path, connection: sqlite3.Connection
) -> None:
    """An entry is added, and one ticks, when the caller commits, or not at all."""
    within, outside = SqliteBroker(BorrowedSqliteLink(connection)), broker_of(path)
    for end in (connection.rollback, connection.commit):
        run_inline(put_entry(within, an_entry("other")))
        assert made(run_inline(tick(within))) == 2
        assert run_inline(stored_entry(within)).state.runs == 1
        assert run_inline(stored_entry(outside)).state.runs == 0
        assert run_inline(find_entry(outside, "other")) is None
        end()
    assert run_inline(stored_entry(outside)).state.runs == 1
    assert pending(outside) == all_ticks("other", "report", last=1)
    assert run_inline(outside.entry_queues()) == ["default"]
    run_inline(outside.close())


def test_a_change_that_is_refused_leaves_the_transaction_of_a_caller(
    path: Path, connection: sqlite3.Connection
) -> None:
    """What it has written before stays, and a conflict is an answer as anywhere."""
    within, outside = SqliteBroker(BorrowedSqliteLink(connection)), broker_of(path)
    seen = run_inline(stored_entry(within))
    run_inline(put_entry(within, an_entry("other")))
    assert made(run_inline(tick(within))) == 2
    assert run_inline(write(within, removed(seen))) == EntryConflict()
    with pytest.raises(InvalidTask):
        run_inline(put_entry(within, an_entry("x" * 999)))
    connection.commit()
    assert run_inline(stored_entry(outside)).state.runs == 1
    assert run_inline(stored_entry(outside, "other")).state.runs == 1
    run_inline(outside.close())


ELSEWHERE = """
import sys
from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.testing.builders import NOW
from qcore.testing.entries import an_entry, put_entry, tick

broker = SqliteBroker(BlockingSqliteLink(sys.argv[1]))
for minute in map(int, sys.argv[3:]):
    run_inline(tick(broker, now=NOW + 60 * minute))
if sys.argv[2] == "changes":
    run_inline(put_entry(broker, an_entry(missed="all", overlap="skip"), now=NOW + 599))
run_inline(put_entry(broker, an_entry("new", missed="all")))
run_inline(broker.close())
"""


def elsewhere(path: Path, change: str, *minutes: int) -> None:
    """In another process, tick at these minutes, change the entry if asked to, and add one."""
    command = [sys.executable, "-c", ELSEWHERE, str(path), change, *map(str, minutes)]
    subprocess.run(command, check=True)


def done(broker: SqliteBroker, last: int) -> None:
    """Tick through the minutes, and run all that is due, of which nothing is kept."""
    for n in range(1, last + 1):
        run_inline(tick(broker, now=NOW + 60 * n))
    claims = run_inline(
        broker.claim(a_demand(), now=NOW + 60 * last, until=NOW + 60 * last + LEASE)
    )
    assert len(claims) == last
    verdicts = [Verdict(each.lease, Succeeded()) for each in claims]
    run_inline(broker.settle(verdicts, now=NOW + 60 * last))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that is open")
@pytest.mark.parametrize(
    ("change", "minutes"), [("changes not", (1,)), ("changes not", ()), ("changes", ())]
)
def test_entries_of_a_lost_log_are_merged_with_those_of_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: str, minutes: tuple[int, ...]
) -> None:
    """What was acknowledged is there, the last change stays, and no tick is made once more."""
    monkeypatch.setattr(connection_module, "LOG_CHECK_INTERVAL", 0.0)
    user = broker_of(path)
    run_inline(put_entry(user, an_entry(missed="all")))
    run_inline(user.close())
    run_inline(put_entry(user, an_entry("lost", missed="all", start=NOW + 3_600)))
    done(user, last=3)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    elsewhere(path, change, *minutes)
    found = run_inline(user.browse_entries("default", 9))
    assert [each.id for each in found] == ["lost", "new", "report"]
    assert pending(user) == all_ticks("report", last=len(minutes))
    stored = run_inline(stored_entry(user))
    assert (stored.state.after, stored.state.runs) == (NOW + 180, 3)
    assert stored.state.last_task == tick_id("report", NOW + 180)
    assert stored.entry.overlap == ("skip" if change == "changes" else "allow")
    run_inline(tick(user, now=NOW + 239))
    assert pending(user) == sorted(
        all_ticks("report", last=len(minutes)) + all_ticks("new", last=3)
    )
    run_inline(tick(user, now=NOW + 240))
    assert tick_id("report", NOW + 240) in pending(user)
    assert not [*path.parent.glob("*-lost-*")]
    run_inline(user.close())


def test_a_revision_from_before_a_restore_is_refused(path: Path) -> None:
    """The copy has forgotten what was given since, and gives greater ones all the same."""
    broker = broker_of(path)
    run_inline(put_entry(broker, an_entry()))
    run_inline(broker.close())
    copy = path.read_bytes()
    run_inline(tick(broker, now=NOW + 60))
    seen = run_inline(stored_entry(broker))
    run_inline(broker.close())
    path.write_bytes(copy)
    run_inline(tick(broker, now=NOW + 61))
    assert run_inline(stored_entry(broker)).state.runs == seen.state.runs
    assert run_inline(write(broker, removed(seen))) == EntryConflict()
    run_inline(written(broker, removed(run_inline(stored_entry(broker)))))
    run_inline(broker.close())
