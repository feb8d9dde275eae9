"""What a handler finds in its process, what it may start there, and what is left of that."""

import asyncio
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from qcore import State
from qcore.testing import a_task
from tests.app import child_handlers, process_handlers
from tests.app.kit import Lab, stored


@pytest.fixture(scope="module")
def results() -> dict[str, list[Any]]:
    """Return what handlers return, one after the other, in one and the same child process."""
    lab, calls = Lab(), []
    for name in ("leave_things_behind", "terminate_others", "use_pools", "fork_while_saving"):
        handler = lab.task(name, process=True, retention=600, max_retry=0)(
            getattr(child_handlers, name)
        )
        calls.append((name, handler.call()))
    fork = lab.task("fork", process=True, retention=600, max_retry=0)(child_handlers.fork)
    calls += [("fork", fork.call(how)) for how in ("returns", "exits", "raises", "reports")]
    calls.append(calls[0])

    async def run() -> dict[str, list[Any]]:
        handles = [(name, await lab.client.enqueue(call)) for name, call in calls]
        await lab.worker(burst=True, process_pool=1).run()
        found: dict[str, list[Any]] = {}
        for name, handle in handles:
            found.setdefault(name, []).append(await handle.result())
        return found

    return asyncio.run(run())


def is_gone(pid: int) -> bool:
    """Return whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_handler_sets_the_next_one_does_not_find(results: dict[str, list[Any]]) -> None:
    """Context variables, bound values, decimal context, signals and alarm are fresh."""
    first, last = results["leave_things_behind"]
    assert first == ["unset", "set", {}, 11, True, 0]
    assert last == first


def test_what_a_handler_starts_can_be_terminated(results: dict[str, list[Any]]) -> None:
    """The signals that its own process ignores end a program, and a process that is forked."""
    assert results["terminate_others"] == [[-15, -15]]


def test_a_handler_may_use_pools_of_processes(results: dict[str, list[Any]]) -> None:
    """Its process is no daemon of `multiprocessing`, and the workers of a pool can be ended."""
    assert results["use_pools"] == [[[1, 4, 9], [1, 4, 9]]]


def test_a_process_that_a_handler_forks_does_not_answer_for_it(
    results: dict[str, list[Any]],
) -> None:
    """It ends where the handler was called from, and has no part in the handler's run."""
    assert results["fork"] == [0, 7, 1, 8]


def test_a_fork_may_come_while_a_thread_speaks_to_the_worker(
    results: dict[str, list[Any]],
) -> None:
    """It does not wait for a lock that nobody holds any more."""
    assert results["fork_while_saving"] == [[8] * 5]


async def test_a_crash_leaves_nothing_of_what_the_handler_had_started(tmp_path: Path) -> None:
    """The worker hears of it at once, though another process holds the pipe's end, and kills it."""
    lab, path = Lab(), tmp_path / "pid"
    crash = lab.task("crash", process=True, max_crashes=1)(child_handlers.crash_with_company)
    handle = await crash.enqueue(str(path))
    await lab.worker(burst=True, process_pool=1).run()
    task = await stored(handle)
    assert task.error == "ProcessDied: its process was ended by SIGKILL"
    pids = [int(each.read_text()) for each in (path, path.with_suffix(".program"))]
    psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert all(is_gone(pid) for pid in pids)


async def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    """The verdict is a crash, as with any other signal."""
    lab = Lab()
    crash = lab.task("crash", process=True, max_crashes=1)(
        child_handlers.crash_at_a_signal_without_a_name
    )
    handle = await crash.enqueue()
    await lab.worker(burst=True, process_pool=1).run()
    task = await stored(handle)
    assert (task.state, task.crashes) == (State.DEAD, 1)
    assert (task.error or "").startswith("ProcessDied: its process was ended by signal ")


async def test_an_idle_process_that_was_killed_burns_nobody_a_crash() -> None:
    """The next task gets another one."""
    lab = process_handlers.register(Lab())
    async with lab.working(process_pool=1):
        first = await lab.client.enqueue(a_task(name="pid", retention=600))
        await lab.signals.settled.next()
        child = psutil.Process(await first.result())
        child.kill()
        child.wait(30)
        second = await lab.client.enqueue(a_task(name="pid", retention=600))
        await lab.signals.settled.next()
    assert await second.result() != child.pid
    assert (await stored(second)).crashes == 0


async def test_standard_streams_are_not_what_a_process_speaks_through(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its input is empty, and what it prints is out before its worker leaves."""
    lab = Lab()
    handler = lab.task("print", process=True, retention=600)(child_handlers.print_something)
    handle = await handler.enqueue()
    await lab.worker(burst=True, process_pool=1).run()
    assert await handle.result() == 0
    assert capfd.readouterr().out == "from a child"


EMBEDDED = """
import asyncio, sys, threading, time
from pathlib import Path
from tests.app import process_handlers
from tests.app.kit import Lab

async def work():
    lab = Lab()
    hang = lab.task("hang", process=True)(process_handlers.hang)
    for _ in range(2):
        await hang.enqueue(sys.argv[1])
    await lab.worker(process_pool=1).run()

if __name__ == "__main__":
    threading.Thread(target=asyncio.run, args=[work()], daemon=True).start()
    path = Path(sys.argv[1])
    while not (path.exists() and path.stat().st_size):
        time.sleep(0.01)
"""


def test_a_program_does_not_wait_at_its_end_for_a_handler_that_hangs(tmp_path: Path) -> None:
    """A worker in a thread of it has not been asked to stop: its child is killed."""
    script = tmp_path / "embedded.py"
    script.write_text(EMBEDDED)
    root = Path(__file__).parents[3]
    command = [sys.executable, str(script), str(tmp_path / "pid")]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}, timeout=60, check=False
    )
    assert done.returncode == 0
    assert is_gone(pickle.loads((tmp_path / "pid").read_bytes()))  # noqa: S301
