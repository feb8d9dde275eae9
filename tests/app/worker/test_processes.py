import asyncio
import importlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from qcore import Handle, InvalidOption, State
from qcore.adapters.clocks import SystemClock
from qcore.app.tasks.process_function import ProcessFunction
from qcore.app.worker.pools.child_signals import SIGNALS_CHILDREN_IGNORE
from qcore.app.worker.pools.processes import ProcessPool, Reservation
from qcore.errors import ProcessDied
from qcore.testing import a_context, a_task, drain
from qcore.testing.builders import NOW
from tests.app import process_handlers
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Yield a queue with handlers for processes; see that none of them is left."""
    before = children()
    yield process_handlers.register(Lab())
    assert children() <= before, "a child outlived its worker"


SLOW_TO_IMPORT = """
import os, time
from multiprocessing import parent_process
from pathlib import Path

if parent_process() is not None:
    time.sleep(0.3)
    Path(os.environ["IMPORTED"]).touch()


def handler(ctx):
    pass
"""

Reserve: TypeAlias = Callable[[Callable[..., Any]], Awaitable[Reservation]]


@pytest.fixture
async def reserved() -> AsyncIterator[Reserve]:
    """Yield what sets a process of a pool apart for a function, until the test ends."""
    processes = ProcessPool(2)
    async with AsyncExitStack() as stack:

        async def reserve(function: Callable[..., Any]) -> Reservation:
            return await stack.enter_async_context(processes.reserved(place_of(function)))

        yield reserve
    processes.close()


def children() -> set[int]:
    """Return the processes that run handlers here; not Python's own helper beside them."""
    return {
        child.pid
        for child in psutil.Process().children()
        if "spawn_main" in " ".join(child.cmdline())
    }


def place_of(function: Callable[..., Any]) -> ProcessFunction:
    """Return where a child finds a function of a module."""
    return ProcessFunction(function.__module__, function.__qualname__)


async def enqueue(lab: Lab, name: str, **arguments: Any) -> Handle[Any]:
    """Enqueue a task whose result is kept."""
    payload = json.dumps(arguments).encode()
    return await lab.client.enqueue(
        a_task(name=name, payload=payload, retention=600, headers={"a": "b"})
    )


async def test_a_child_serves_many_tasks_and_is_gone_after(lab: Lab) -> None:
    """A process is spawned once and used again; when the worker leaves, it has ended."""
    handles = [await enqueue(lab, "pid") for _ in range(5)]
    await lab.worker(burst=True, process_pool=1).run()
    assert children() == set()
    pids = {await handle.result() for handle in handles}
    assert len(pids) == 1
    assert pids != {psutil.Process().pid}


async def test_a_process_knows_its_task(lab: Lab) -> None:
    """Context and decoded arguments travel to the child."""
    handle = await enqueue(lab, "about", job={"path": "/tmp/x"})
    claim = None
    async with lab.working(process_pool=1, name="blue"):
        claim = await lab.signals.claimed.next()
        await lab.signals.settled.next()
    assert await handle.result() == [
        handle.id,
        "about",
        "blue",
        1,
        claim.lease.token,
        {"a": "b"},
        "/tmp/x",
    ]


async def test_what_a_process_raises_is_judged(lab: Lab) -> None:
    """Errors and control flow travel from the child."""
    verdicts: dict[str, tuple[State, str | None, float]] = {
        "portable": (State.RETRY, "Portable: it broke", 30),
        "unportable": (State.RETRY, "Unportable: this and that", 30),
        "exit": (State.RETRY, "SystemExit: bye", 30),
        "skip": (State.DEAD, "never again", 0),
        "snooze": (State.SCHEDULED, None, 100),
        "snooze until": (State.SCHEDULED, None, 200_000_000),
        "rate limited": (State.SCHEDULED, None, 105),
        "retry": (State.RETRY, "soon", 7),
    }
    handles = {how: await enqueue(lab, "fail", how=how) for how in verdicts}
    await lab.worker(burst=True, process_pool=1).run()
    for how, (state, error, due) in verdicts.items():
        task = await stored(handles[how])
        assert (task.state, task.error, task.due) == (state, error, NOW + due), how
        assert (task.crashes, task.failures) == (0, int(state is State.RETRY)), how


async def test_revoke_travels(lab: Lab) -> None:
    """A task that its child revokes is gone."""
    handle = await enqueue(lab, "fail", how="revoke")
    await lab.run_due()
    assert await handle.status() is State.GONE


async def test_a_result_that_cannot_be_kept_has_the_verdict_that_it_has_in_a_thread(
    lab: Lab,
) -> None:
    """The task is dead: another run would return the same; the child goes on."""
    names = ("return_lambda", "return_unreadable")
    handles = [await enqueue(lab, name) for name in names]
    after = await enqueue(lab, "pid")
    await lab.worker(burst=True, process_pool=1).run()
    for handle, kind in zip(handles, ("function", "Unreadable"), strict=True):
        task = await stored(handle)
        assert (task.state, task.failures, task.crashes) == (State.DEAD, 0, 0)
        assert f"its result cannot be kept: the {kind}" in (task.error or "")
    assert await after.result()


@pytest.mark.parametrize(("name", "why"), [("kill_itself", "SIGKILL"), ("leave", "exit code 3")])
async def test_a_child_that_dies_burns_the_crash_budget(lab: Lab, name: str, why: str) -> None:
    """The third crash is the last: the task is poison, dead with how its process ended."""
    handle = await enqueue(lab, name)
    assert await drain(lab) == 3
    task = await stored(handle)
    assert (task.state, task.crashes, task.failures) == (State.DEAD, 3, 0)
    assert task.error is not None
    assert why in task.error


async def test_a_crash_takes_nobody_else_along(lab: Lab) -> None:
    """Others run on while one child dies, and the task is run again by a fresh one."""
    crash = await enqueue(lab, "kill_itself_once")
    others = [await enqueue(lab, "pid") for _ in range(3)]
    await lab.worker(burst=True, process_pool=2).run()
    assert await crash.result() == 2
    assert (await stored(crash)).crashes == 1
    for other in others:
        assert (await stored(other)).attempts == 1


async def test_the_clock_of_a_run_starts_when_its_process_is_ready(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts slowly takes nothing of a handler's timeout."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_to_import.py").write_text(SLOW_TO_IMPORT)
    monkeypatch.setenv("IMPORTED", str(tmp_path / "imported"))
    handler = importlib.import_module("slow_to_import").handler
    lab.route("slow", handler, process=True)
    await enqueue(lab, "slow")
    async with lab.working(process_pool=1):
        await lab.signals.started.next()
        was_ready = (tmp_path / "imported").exists()
        await lab.signals.settled.next()
    assert was_ready


class TestPool:
    async def test_to_kill_a_call_is_to_kill_its_child(
        self, reserved: Reserve, tmp_path: Any
    ) -> None:
        """When the call has ended, so has the process."""
        file = tmp_path / "pid"
        ctx = a_context()
        started = (await reserved(process_handlers.hang)).start(ctx, (str(file),), {})
        clock = SystemClock()
        while not (file.exists() and file.stat().st_size):
            await clock.sleep_until(clock.now() + 0.01)
        assert len(children()) == 1
        await started.kill()
        assert isinstance(started.reply.exception(), ProcessDied)
        assert children() == set()

    async def test_to_kill_a_call_is_to_kill_what_it_started_too(
        self, reserved: Reserve, tmp_path: Any
    ) -> None:
        """A handler's own children end with it."""
        file = tmp_path / "pid"
        process = await reserved(process_handlers.hang_in_a_child)
        started = process.start(a_context(), (str(file),), {})
        clock = SystemClock()
        while not (file.exists() and file.stat().st_size):
            await clock.sleep_until(clock.now() + 0.01)
        grandchild = psutil.Process(int(file.read_text()))
        await started.kill()
        psutil.wait_procs([grandchild], timeout=30)
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE

    async def test_what_is_meant_for_the_worker_does_not_reach_its_child(
        self, reserved: Reserve, tmp_path: Any
    ) -> None:
        """A signal to all of a service's processes does not end or stop a handler."""
        file = tmp_path / "pid"
        process = await reserved(process_handlers.wait_for)
        started = process.start(a_context(), (str(file),), {})
        clock = SystemClock()
        while not (file.exists() and file.stat().st_size):
            await clock.sleep_until(clock.now() + 0.01)
        child = int(file.read_text())
        assert os.getpgid(child) != os.getpgid(0)
        for number in SIGNALS_CHILDREN_IGNORE:
            os.kill(child, number)
        file.with_suffix(".go").touch()
        assert await started.reply == "done"

    async def test_a_call_killed_before_it_began_ends_too(
        self, reserved: Reserve, tmp_path: Any
    ) -> None:
        """Whether or not the child had begun, it does not run on."""
        file = tmp_path / "pid"
        process = await reserved(process_handlers.hang)
        started = process.start(a_context(), (str(file),), {})
        await started.kill()
        assert isinstance(started.reply.exception(), ProcessDied)
        assert not process.children or not file.exists()

    async def test_arguments_that_a_process_cannot_read_are_an_error(
        self, reserved: Reserve
    ) -> None:
        """What reading them raised is raised to the caller, and the process goes on."""
        process = await reserved(process_handlers.pid)
        child = await process.start(a_context(), (), {}).reply
        with pytest.raises(ValueError, match="unreadable"):
            await process.start(a_context(), (process_handlers.Unreadable(),), {}).reply
        assert await process.start(a_context(), (), {}).reply == child

    async def test_arguments_that_cannot_travel_are_an_error(self, reserved: Reserve) -> None:
        """It is raised to the caller."""
        process = await reserved(process_handlers.pid)
        with pytest.raises(Exception, match="lambda"):
            await process.start(a_context(), (lambda: None,), {}).reply

    async def test_a_reservation_that_is_cancelled_leaves_no_child(self, reserved: Reserve) -> None:
        """As at a stop, while a process still imports what it needs."""
        waiting = asyncio.ensure_future(reserved(process_handlers.pid))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert children() == set()

    def test_a_pool_of_none_is_refused(self) -> None:
        """A pool has at least one process."""
        with pytest.raises(InvalidOption, match="0"):
            ProcessPool(0)
