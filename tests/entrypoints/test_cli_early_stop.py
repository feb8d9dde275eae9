"""Stop signals before there is a worker, with real processes: what is tried is the process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qcore.entrypoints import init_process

pytestmark = pytest.mark.system

IMPORTING = """
import pathlib, signal, sys, threading, time
{setup}
print("importing", file=sys.stderr, flush=True)
{wait}
from qcore import Qcore
q = Qcore("memory://")
"""
SLEEP = "time.sleep(60)"
CATCHING = """
try:
    time.sleep(60)
except BaseException:
    time.sleep(60)
"""
IN_C = """
import ctypes
library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(256)
library.pthread_mutex_init(mutex, None)
library.pthread_mutex_lock(mutex)
library.pthread_mutex_lock(mutex)
"""
JOINED = "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)"
OWN_HANDLER = "signal.signal(signal.SIGTERM, lambda *_: None)"
SEND = {"plain": [], "process 1": ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]}


def can_be_process_1() -> bool:
    """Return whether this user may make a namespace of processes."""
    command = [*SEND["process 1"], "true"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


def obey_signals() -> None:
    """Obey what whoever runs the tests may ignore, as `nohup` and a shell's background jobs do."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


class Importing:
    """A `qcore worker` whose application is being imported."""

    def __init__(self, folder: Path, *, wait: str, setup: str = "", before: list[str]) -> None:
        (folder / "slow.py").write_text(IMPORTING.format(wait=wait, setup=setup))
        command = [*before, sys.executable, "-m", "qcore", "worker", "slow:q"]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=obey_signals,  # noqa: PLW1509  (no other thread runs here)
        )
        assert self.process.stderr is not None
        assert "importing" in self.process.stderr.readline()
        self.pid = self.process.pid
        if before:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            [self.pid] = map(int, children)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit status and the rest of what was said."""
        os.kill(self.pid, number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[list[Importing]]:
    """Return where processes are put that have to end with the test."""
    started: list[Importing] = []
    yield started
    for each in started:
        each.end()


@pytest.mark.parametrize(
    ("wait", "setup", "number"),
    [
        (SLEEP, "", signal.SIGTERM),
        (SLEEP, "", signal.SIGINT),
        (SLEEP, "", signal.SIGHUP),
        (CATCHING, "", signal.SIGTERM),
        (SLEEP, OWN_HANDLER, signal.SIGTERM),
        (IN_C, "", signal.SIGTERM),
        (JOINED, "", signal.SIGTERM),
    ],
    ids=["SIGTERM", "SIGINT", "SIGHUP", "caught", "own handler", "in C", "a thread remains"],
)
def test_a_stop_while_the_application_is_imported_ends_the_process(
    tmp_path: Path, importing: list[Importing], wait: str, setup: str, number: signal.Signals
) -> None:
    """The status is 0 and nothing is said, whatever the module does at that moment."""
    importing.append(Importing(tmp_path, wait=wait, setup=setup, before=[]))
    assert importing[0].stop(number) == (0, "")


@pytest.mark.skipif(not can_be_process_1(), reason="needs a namespace of processes")
@pytest.mark.parametrize("wait", [SLEEP, IN_C], ids=["sleeping", "in C"])
def test_process_1_stops_too(tmp_path: Path, importing: list[Importing], wait: str) -> None:
    """The kernel drops a signal that process 1 has no handler for."""
    importing.append(Importing(tmp_path, wait=wait, before=SEND["process 1"]))
    status, said = importing[0].stop(signal.SIGTERM)
    assert status == 0, said


ORPHANS = """
import os, pathlib, subprocess, sys, time
from qcore.entrypoints.init_process import fork_if_init

fork_if_init()
assert os.getpid() != 1
subprocess.run(["sh", "-c", "sleep 0 & sleep 0 & exit 0"])
mine = subprocess.Popen(["sh", "-c", "exit 7"])
def children():
    return pathlib.Path("/proc/1/task/1/children").read_text().split()
deadline = time.monotonic() + 30
while len(children()) > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
print(len(children()), mine.wait())
sys.exit(5)
"""


@pytest.mark.skipif(not can_be_process_1(), reason="needs a namespace of processes")
def test_process_1_reaps_orphans_and_leaves_children_to_their_parents() -> None:
    """No zombie stays, a child's exit status is its parent's to read, and ours is the worker's."""
    command = [*SEND["process 1"], sys.executable, "-c", ORPHANS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout.split(), ended.returncode) == (["1", "7"], 5), ended.stderr


def test_another_process_does_not_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not process 1 has an init process already."""
    monkeypatch.setattr(os, "fork", pytest.fail)
    init_process.fork_if_init()


FORKING = """
import asyncio, multiprocessing, os, signal, sys
from qcore.signals import obey_signals

class Listener:
    def stop(self, *, at_once=False):
        print("the worker was told to stop")
    pause = resume = stop

async def main():
    with obey_signals(Listener(), unheard=lambda: None):
        child = multiprocessing.get_context("fork").Process(target=signal.pause)
        await asyncio.to_thread(child.start)
        child.terminate()
        await asyncio.to_thread(child.join, 30)
        await asyncio.sleep(0.05)
        print(child.exitcode)
        child.kill()

asyncio.run(main())
"""


def test_a_forked_child_obeys_sigterm_and_its_worker_goes_on() -> None:
    """The child has neither our handlers nor the descriptor that they write to."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split("\n")[0] == "-15", ended.stderr


SIGNALLED_FIRST = """
import os, signal
# hooks run in the order in which they were registered: this one runs before any of ours
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
"""


def test_a_signal_that_comes_before_a_child_has_its_own_handlers_ends_it() -> None:
    """It waits until the child has them, and is not taken for one to the worker."""
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED_FIRST + FORKING.replace("child.terminate()", "")],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.stdout.split() == ["-15"], ended.stdout + ended.stderr
