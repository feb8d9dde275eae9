"""What other processes commit is told: by whom, to whom, and what a listener does that is not."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterator,
)
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from math import inf, nan
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from time import monotonic

import pytest

from qcore.adapters.links.sqlite import (
    AsyncSqliteLink,
    BlockingSqliteLink,
    Tx,
    event_count,
    file_watcher,
    look_schedule,
    write_signal,
)
from qcore.adapters.links.sqlite.event_count import EventCount
from qcore.adapters.links.sqlite.file_watcher import FileWatcher, Subscriber
from qcore.adapters.links.sqlite.look_schedule import LookSchedule
from qcore.adapters.links.sqlite.write_signal import (
    CROWD_RATE,
    LONGEST_REST,
    Told,
    WriteSignal,
    why_not_told,
)
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.queue_limits import Rate
from qcore.domain.states import State
from qcore.ports import LeaseEnded, Notification, TasksChanged, WorkAvailable
from qcore.testing.builders import LEASE, NOW, a_demand, a_task

PATIENCE = 30.0
COMMITTED = Told(has_committed=True, will_commit=False)
WRITING = Told(has_committed=True, will_commit=True)
NOTHING = Told(has_committed=False, will_commit=False)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are futexes on Linux alone")

OTHER = """
import os, sqlite3, sys, time
from qcore.adapters.links.sqlite import BlockingSqliteLink, BorrowedSqliteLink
from qcore.adapters.links.sqlite.write_signal import WriteSignal
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.run_details import DetailsUpdate, Progress
from qcore.domain.task import Verdict
from qcore.domain.transitions import Cancelled, Succeeded
from qcore.testing.builders import NOW, a_demand, a_task

path = sys.argv[1]
broker = SqliteBroker(BlockingSqliteLink(path))
"""

ENQUEUE = "run_inline(broker.enqueue([a_task()], now=NOW))"

WITHIN = """
connection = sqlite3.connect(path)
run_inline(SqliteBroker(BorrowedSqliteLink(connection)).enqueue([a_task()], now=NOW))
time.sleep(0.1)
connection.commit()
"""

CANCEL = "run_inline(broker.execute('default', ['one'], Cancelled(), now=NOW))"

CLAIM = "(claim,) = run_inline(broker.claim(a_demand(), now=NOW, until=NOW + 30))\n"
PROGRESS = (
    CLAIM
    + """
run_inline(broker.save_details([DetailsUpdate(claim.lease, progress=Progress(NOW, 0.5))]))
"""
)
RESULT = CLAIM + "run_inline(broker.settle([Verdict(claim.lease, Succeeded(b'1'))], now=NOW))"

MOUNT = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'

SHELL = """
connection = sqlite3.connect(path)
connection.execute("CREATE TABLE others (number INTEGER)")
connection.commit()
"""

HOLD = """
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
time.sleep(60)
"""

LISTEN = """
print(WriteSignal(path).listen(), flush=True)
time.sleep(60)
"""

HUNDREDS = """
children = []
for _ in range(int(sys.argv[2])):
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        signal = WriteSignal(path)
        signal.listen()
        os.write(told, b".")
        began = time.monotonic()
        told = signal.wait(60)
        # what it was not told it would find when the wait is over
        os._exit(0 if told.has_committed and time.monotonic() < began + 50 else 1)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    children.append(child)
print("ready", flush=True)
print([os.waitpid(child, 0)[1] for child in children].count(0), flush=True)
"""

ROUNDS = """
signal = WriteSignal(path)
print("ready", flush=True)
for number, line in enumerate(sys.stdin, 1):
    os.pwrite(int(sys.argv[2]), number.to_bytes(4, "little"), 0)
    signal.tell_of_commit()
"""

ROUNDS_OF = 3_000


@pytest.fixture
async def broker(path: Path) -> AsyncIterator[SqliteBroker]:
    """A broker that awaits."""
    broker = SqliteBroker(AsyncSqliteLink(path))
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is told does not look by itself, so that what it hears it was told."""
    monkeypatch.setattr(look_schedule, "IDLE_INTERVAL", 60.0)


@pytest.fixture
def listener(path: Path) -> Iterator[WriteSignal]:
    """Somebody who listens."""
    path.touch()
    signal = WriteSignal(str(path))
    assert signal.listen()
    yield signal
    signal.leave()


def notify_file(path: Path) -> Path:
    """Return the path of the file by which listeners are told."""
    return path.with_name(f"{path.name}-notify")


def command(script: str, path: Path, *arguments: object) -> list[str]:
    """Return the command that runs a script in another process."""
    return [sys.executable, "-c", OTHER + script, str(path), *map(str, arguments)]


async def elsewhere(script: str, path: Path) -> None:
    """Run a script in another process."""
    child = await asyncio.create_subprocess_exec(*command(script, path))
    assert await child.wait() == 0


@contextmanager
def running(
    script: str, path: Path, *arguments: object, pass_fds: Collection[int] = ()
) -> Generator[subprocess.Popen[str]]:
    """Run a script that says when it is ready."""
    with subprocess.Popen(
        command(script, path, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=pass_fds,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        yield child
        child.kill()


@asynccontextmanager
async def notified(
    broker: SqliteBroker, kind: type[Notification]
) -> AsyncGenerator[asyncio.Queue[Notification]]:
    """Lend a queue of the notifications of one kind."""
    queue: asyncio.Queue[Notification] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def notify(notification: Notification) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, notification)

    subscription = await broker.subscribe(["default"], {kind}, notify)
    try:
        yield queue
    finally:
        await subscription.close()


async def until(
    notifications: asyncio.Queue[Notification], is_there: Callable[[], Awaitable[bool]]
) -> None:
    """Look at each notification whether something is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await notifications.get()
            if await is_there():
                return


# --- what is told ------------------------------------------------------------------------------


@pytest.mark.system
@pytest.mark.usefixtures("never_looks")
@pytest.mark.parametrize("script", [ENQUEUE, WITHIN], ids=["committed", "in a transaction"])
async def test_a_task_of_another_process_is_told(
    broker: SqliteBroker, path: Path, script: str
) -> None:
    """Whether qcore commits it, or the caller in whose transaction it is, a while later."""

    async def is_stored() -> bool:
        return await broker.count() == {"default": {State.PENDING: 1}}

    async with notified(broker, WorkAvailable) as notifications:
        await elsewhere(script, path)
        await until(notifications, is_stored)


@pytest.mark.system
@pytest.mark.usefixtures("never_looks")
async def test_a_command_of_another_process_that_ends_a_lease_is_told(
    broker: SqliteBroker, path: Path
) -> None:
    """A task that runs here is cancelled there."""
    await broker.enqueue([a_task(id="one")], now=NOW)
    (claim,) = await broker.claim(a_demand(), now=NOW, until=NOW + LEASE)
    async with notified(broker, LeaseEnded) as notifications:
        await elsewhere(CANCEL, path)
        async with asyncio.timeout(PATIENCE):
            assert await notifications.get() == LeaseEnded("default", claim.lease.token)


@pytest.mark.system
@pytest.mark.usefixtures("never_looks")
@pytest.mark.parametrize("script", [RESULT, PROGRESS], ids=["result", "progress"])
async def test_what_becomes_of_a_task_in_another_process_is_told(
    broker: SqliteBroker, path: Path, script: str
) -> None:
    """It was enqueued here, and ends, or tells of its progress, there."""

    async def is_seen() -> bool:
        ((task,), (details,)) = await asyncio.gather(
            broker.get("default", ["one"]), broker.details("default", ["one"])
        )
        assert task is not None
        assert details is not None
        return task.result == b"1" or details.progress is not None

    await broker.enqueue([a_task(id="one", retention=60)], now=NOW)
    async with notified(broker, TasksChanged) as notifications:
        await elsewhere(script, path)
        await until(notifications, is_seen)


@pytest.mark.system
def test_no_wake_up_is_lost(listener: WriteSignal, path: Path) -> None:
    """Each number that is written before it is told ends the wait of whoever has read the last."""
    numbers = path.with_name("numbers")
    numbers.write_bytes(bytes(4))
    with (
        numbers.open("r+b") as file,
        running(ROUNDS, path, file.fileno(), pass_fds=[file.fileno()]) as other,
    ):
        assert other.stdin is not None
        for number in range(1, ROUNDS_OF + 1):
            other.stdin.write("\n")
            other.stdin.flush()
            while int.from_bytes(os.pread(file.fileno(), 4, 0), "little") < number:
                assert listener.wait(PATIENCE) == COMMITTED


@pytest.mark.system
def test_hundreds_of_listeners_are_told_by_one_commit(path: Path) -> None:
    """A writer wakes a few, who wake the others; the last that leaves removes the file."""
    path.touch()
    with running(HUNDREDS, path, 200) as listeners:
        WriteSignal(str(path)).tell_of_commit()
        assert listeners.stdout is not None
        assert listeners.stdout.readline() == "200\n"


def may_mount() -> bool:
    """Return whether this process may have mounts of its own."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and not subprocess.run(
            [unshare, "-m", "true"], check=False, stderr=subprocess.DEVNULL
        ).returncode
    )


@pytest.mark.system
@pytest.mark.usefixtures("never_looks")
@pytest.mark.skipif(not may_mount(), reason="it takes the right to mount")
async def test_a_process_that_has_mounted_the_folder_elsewhere_tells(
    broker: SqliteBroker, path: Path
) -> None:
    """A container has its own mounts of the same file."""
    mounted = path.parent / "mounted"
    mounted.mkdir()
    async with notified(broker, WorkAvailable) as notifications:
        inside = command(ENQUEUE, mounted / path.name)
        child = await asyncio.create_subprocess_exec(
            "unshare", "-m", "sh", "-c", MOUNT, "sh", path.parent, mounted, *inside
        )
        assert await child.wait() == 0
        async with asyncio.timeout(PATIENCE):
            await notifications.get()


@pytest.mark.system
def test_a_listener_that_was_killed_keeps_nobody_from_anything(
    listener: WriteSignal, path: Path
) -> None:
    """Others are told, and whoever leaves last removes the file all the same."""
    with running(LISTEN, path) as other:
        os.kill(other.pid, signal.SIGKILL)
    WriteSignal(str(path)).tell_of_commit()
    assert listener.wait(PATIENCE) == COMMITTED
    listener.leave()
    assert not notify_file(path).exists()


@pytest.mark.system
def test_listeners_that_are_stopped_keep_nobody_from_being_told(
    listener: WriteSignal, path: Path
) -> None:
    """Those that a writer wakes by itself do not wake the rest before they go on."""
    with ExitStack() as stack:
        others = [stack.enter_context(running(LISTEN, path)) for _ in range(event_count.WAKES - 1)]
        for other in others:
            os.kill(other.pid, signal.SIGSTOP)
        WriteSignal(str(path)).tell_of_commit()
        assert listener.wait(PATIENCE) == COMMITTED


# --- how often -------------------------------------------------------------------------------


def turns(listener: WriteSignal, number: int, now: float = 100.0) -> list[float]:
    """Return how long so many listeners rest that were told at the same moment."""
    return [round(listener.next_turn(now) - now, 6) for _ in range(number)]


def test_a_crowd_of_listeners_is_told_in_turn(listener: WriteSignal) -> None:
    """A few wait again at once, the others one after the other, and nobody rests for long."""
    at_once, pace = CROWD_RATE.count - 1, CROWD_RATE.pace
    rests = turns(listener, 300)
    assert max(rests[:at_once]) <= 0
    assert rests[at_once : at_once + 3] == pytest.approx([pace, 2 * pace, 3 * pace])
    assert rests == sorted(rests)
    assert rests[-1] <= LONGEST_REST
    # after a while in which nobody was told all are told at once
    assert max(turns(listener, at_once, now=101.0)) <= 0


@pytest.mark.parametrize(
    ("commits", "seconds", "tokens"), [(9, 0.01, 1), (10, 0.01, 5), (10, 10.0, 1)]
)
def test_a_turn_takes_more_where_somebody_writes_without_a_pause(
    listener: WriteSignal, path: Path, commits: int, seconds: float, tokens: int
) -> None:
    """Ten commits since the last turn, of 500 a second at least."""
    count, writer = EventCount(f"{path}-notify"), WriteSignal(str(path))
    listener.next_turn(100.0)
    for _ in range(commits):
        writer.tell_of_commit()
    listener.wait(0)
    before = max(count.moment, 100.0 + seconds)
    listener.next_turn(100.0 + seconds)
    assert round((count.moment - before) / CROWD_RATE.pace) == tokens


@pytest.mark.parametrize("number", [1e12, inf, nan, -inf], ids=str)
def test_a_moment_of_another_clock_makes_nobody_rest_for_ever(
    listener: WriteSignal, path: Path, number: float
) -> None:
    """As of before a boot: the file was left behind by a power cut."""
    EventCount(f"{path}-notify").moment = number
    assert turns(listener, 1)[0] <= LONGEST_REST
    assert turns(listener, 1, now=102.0)[0] <= 0


def test_who_was_told_rests_until_its_turn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed meanwhile is not lost: the counter tells of it."""
    monkeypatch.setattr(write_signal, "CROWD_RATE", Rate(1, 100.0))
    rests, go_on = SimpleQueue[float](), Event()
    told = Semaphore(0)

    def rest(seconds: float) -> None:
        rests.put(seconds)
        go_on.wait(PATIENCE)

    monkeypatch.setattr(file_watcher, "sleep", rest)
    path.touch()
    watcher, writer = FileWatcher(str(path)), WriteSignal(str(path))
    subscriber = Subscriber(["default"], {WorkAvailable}, lambda _: told.release(), watcher)
    watcher.add(subscriber)
    writer.tell_of_commit()
    assert told.acquire(timeout=PATIENCE)
    assert rests.get(timeout=PATIENCE) == pytest.approx(100, rel=0.01)
    writer.tell_of_commit()
    assert not told.acquire(blocking=False)
    go_on.set()
    assert told.acquire(timeout=PATIENCE)
    watcher.remove(subscriber)


# --- who waits to write ------------------------------------------------------------------------


def writing(link: BlockingSqliteLink, act: Callable[[], object], word: str | None = "word") -> None:
    """Run a transaction that writes a word, if any, and does something while it has the lock."""

    def write(tx: Tx) -> None:
        tx.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
        if word is not None:
            tx.execute("INSERT INTO words VALUES (?)", (word,))
        act()

    run_inline(link.write(write))


def fail() -> None:
    """Raise an error."""
    raise ZeroDivisionError


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    ("word", "act"),
    [("word", bool), ("word", fail), (None, bool)],
    ids=["committed", "rolled back", "nothing written"],
)
def test_who_waits_to_write_is_woken_by_the_end_of_a_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch, word: str | None, act: Callable[[], object]
) -> None:
    """It does not try again before that: the first in line is told."""
    monkeypatch.setattr(write_signal, "LONGEST_WAIT", 60.0)
    holder, waiter = (BlockingSqliteLink(path, timeout=60) for _ in range(2))
    run_inline(holder.open())
    run_inline(waiter.open())
    waits = Event()

    def wait(self: WriteSignal, seconds: float) -> None:
        waits.set()
        wait_for_release(self, seconds)

    def hold() -> None:
        thread.start()
        assert waits.wait(PATIENCE)
        act()

    wait_for_release = WriteSignal.wait_for_release
    monkeypatch.setattr(WriteSignal, "wait_for_release", wait)
    thread = Thread(target=writing, args=(waiter, bool))
    with suppress(ZeroDivisionError):
        writing(holder, hold, word)
    ends = monotonic() + PATIENCE
    while thread.is_alive() and monotonic() < ends:
        # it may not have been in line yet when the first one ended
        with suppress(ZeroDivisionError):
            writing(holder, act, word)
        thread.join(0.01)
    assert not thread.is_alive()
    run_inline(holder.close())
    run_inline(waiter.close())


@pytest.mark.system
@pytest.mark.usefixtures("listener")
def test_a_writer_that_was_killed_keeps_the_lock_from_nobody(path: Path) -> None:
    """Who waits for it was told nothing, and tries by itself."""
    link = BlockingSqliteLink(path, timeout=60)
    writing(link, bool)
    with running(HOLD, path) as other:
        thread = Thread(target=writing, args=(link, bool))
        thread.start()
        other.kill()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    run_inline(link.close())


# --- forks -------------------------------------------------------------------------------------


@pytest.mark.system
def test_a_child_of_a_fork_tells_its_parent_and_does_not_listen_for_it(
    listener: WriteSignal, path: Path
) -> None:
    """What the child commits is another process's, and its end takes nothing from the parent."""
    child = os.fork()
    if not child:
        listener.reset_in_child()
        listener.leave()
        listener.tell_of_commit()
        os._exit(0)
    assert listener.wait(PATIENCE) == COMMITTED
    os.waitpid(child, 0)
    assert notify_file(path).exists()
    # its end has not released the parent's lock: who leaves now does not remove the file
    other = WriteSignal(str(path))
    other.listen()
    other.leave()
    assert notify_file(path).exists()


# --- the file ----------------------------------------------------------------------------------


def test_the_file_is_there_while_somebody_listens(path: Path) -> None:
    """Whoever writes makes none; it is as accessible as the database."""
    path.touch(mode=0o640)
    first, second = (WriteSignal(str(path)) for _ in range(2))
    first.tell_of_commit()
    assert not notify_file(path).exists()
    assert first.listen()
    assert second.listen()
    assert notify_file(path).stat().st_mode == path.stat().st_mode
    first.leave()
    assert notify_file(path).exists()
    second.leave()
    assert not notify_file(path).exists()


def test_what_a_process_commits_it_is_not_told_itself(listener: WriteSignal) -> None:
    """Its subscribers have been told already; but of a caller's commit it learns like others."""
    listener.tell_of_commit()
    assert listener.wait(0) == NOTHING
    listener.tell_of_writing()
    assert listener.wait(0) == WRITING


def test_a_file_that_was_removed_is_made_anew(
    listener: WriteSignal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look makes another, and those who tell use that."""
    monkeypatch.setattr(write_signal, "CHECK_INTERVAL", 0.0)
    writer = WriteSignal(str(path))
    writer.tell_of_commit()
    assert listener.wait(0) == COMMITTED
    notify_file(path).unlink()
    writer.tell_of_commit()
    assert listener.wait(0) == NOTHING
    assert listener.listen()
    writer.tell_of_commit()
    assert listener.wait(0) == COMMITTED


def test_who_tells_notices_at_once_that_the_last_listener_left(
    listener: WriteSignal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves a mark in the file that it removes: whoever has that open looks for another one."""
    monkeypatch.setattr(write_signal, "CHECK_INTERVAL", 60.0)
    writer = WriteSignal(str(path))
    writer.tell_of_commit()
    listener.leave()
    assert listener.listen()
    writer.tell_of_commit()
    assert listener.wait(0) == COMMITTED


@pytest.mark.parametrize("size", [0, 12])
def test_a_file_that_was_truncated_ends_nobody(
    listener: WriteSignal, path: Path, size: int
) -> None:
    """To read its mapping would end the process: it is looked at in another way, and mended.

    Who has found it too short to tell by it, as that of an older qcore may be, uses it then.
    """
    writer = WriteSignal(str(path))
    writer.tell_of_commit()
    os.truncate(notify_file(path), size)
    newcomer = WriteSignal(str(path))
    for each in (writer, newcomer):
        each.tell_of_commit()
    assert listener.wait(0) == NOTHING
    assert not listener.is_listening
    assert listener.listen()
    for each in (writer, newcomer):
        each.tell_of_commit()
        assert listener.wait(0) == COMMITTED


# --- who is not told ---------------------------------------------------------------------------


@pytest.mark.system
async def test_without_the_file_the_database_is_looked_at(broker: SqliteBroker, path: Path) -> None:
    """Where something else has its name it cannot be made; `qcore doctor` says so."""
    notify_file(path).mkdir()
    assert why_not_told(str(path)) is not None
    async with notified(broker, WorkAvailable) as notifications:
        await elsewhere(ENQUEUE, path)
        async with asyncio.timeout(PATIENCE):
            await notifications.get()


@pytest.mark.system
async def test_a_commit_of_which_nobody_tells_is_noticed(broker: SqliteBroker, path: Path) -> None:
    """As of an older qcore, or of a shell."""
    async with notified(broker, WorkAvailable) as notifications:
        await elsewhere(SHELL, path)
        async with asyncio.timeout(PATIENCE):
            await notifications.get()


# --- when to look ------------------------------------------------------------------------------


def test_who_is_told_looks_seldom() -> None:
    """Once a second, and fifty times for who is not told."""
    schedule = LookSchedule()
    assert schedule.next_interval(0.0, is_told=True) == look_schedule.IDLE_INTERVAL
    assert schedule.next_interval(0.0, is_told=False) == look_schedule.INTERVAL


def test_after_a_commit_that_was_not_told_it_looks_often_for_a_while() -> None:
    """Somebody writes who does not tell, and may go on."""
    schedule = LookSchedule()
    schedule.untold(100.0)
    assert schedule.next_interval(109.0, is_told=True) == look_schedule.INTERVAL
    assert schedule.next_interval(111.0, is_told=True) == look_schedule.IDLE_INTERVAL


def test_a_commit_that_is_expected_is_looked_for_at_growing_intervals() -> None:
    """It is noticed soon after it, be the transaction short or long; and given up in the end."""
    schedule, now = LookSchedule(), 100.0
    schedule.expect(now)
    looks: list[float] = []
    while now < 104.0:
        interval = schedule.next_interval(now, is_told=True)
        assert interval <= max(look_schedule.FIRST_INTERVAL, 0.31 * (now - 100.0) + 0.001)
        looks.append(interval)
        now += interval
    assert looks == sorted(looks)
    assert looks[-1] == look_schedule.INTERVAL
    assert schedule.next_interval(106.0, is_told=True) == look_schedule.IDLE_INTERVAL


def test_a_commit_that_has_come_is_not_looked_for_any_more() -> None:
    """As one transaction writes at a time, the first commit is the one that was expected."""
    schedule = LookSchedule()
    schedule.expect(100.0)
    schedule.has_come()
    assert schedule.next_interval(100.1, is_told=True) == look_schedule.IDLE_INTERVAL
