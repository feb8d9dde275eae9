"""`qcore worker --workers N`: real processes and signals, one SQLite file."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import psutil
import pytest

from qcore import Handle, NewTask, State
from qcore.types import Call
from tests.entrypoints import blocking
from tests.entrypoints.test_cli_early_stop import SEND, can_be_process_1
from tests.system import application
from tests.system.kit import is_alive, task_of, until
from tests.system.supervisor_kit import Plant, planted

pytestmark = pytest.mark.system

MANY = 400


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    """Return a store of its own, closed when its workers have gone."""
    with planted(tmp_path) as plant:
        async with plant.q:
            yield plant


async def asked(plant: Plant, call: Call[object]) -> Handle[object]:
    """Ask for a call in the plant's store, which is not the application's own."""
    return await plant.q.client.enqueue(call)


async def is_unburned(handle: Handle[object]) -> None:
    """Assert that a task waits as if it had never been begun, but for the count of its runs."""
    task = await task_of(handle)
    assert task.state is State.PENDING
    assert (task.attempts, task.failures, task.crashes) == (1, 0, 0)


# --- restart ------------------------------------------------------------------------------------


async def test_a_worker_that_was_killed_is_replaced(plant: Plant) -> None:
    """The log says what has ended it; the other one works meanwhile."""
    supervisor = plant.supervise("--workers", "2")
    first, second = await supervisor.served_by(2)
    os.kill(first, signal.SIGKILL)
    [died] = await supervisor.says("worker has died")
    assert (died["pid"], died["end"]) == (first, "SIGKILL")
    assert (await supervisor.served_by(3))[:2] == [first, second]
    assert second in supervisor.workers()
    supervisor.send(signal.SIGTERM)
    assert await supervisor.ended() == 0, supervisor.log


async def test_workers_that_hang_are_replaced(plant: Plant) -> None:
    """One by a handler, whose task is run again, and one that is stopped by a signal."""
    handle = await asked(plant, blocking.block.call(str(plant.folder)))
    options = ["--workers", "2", "--lease", "1", "--hang-timeout", "5"]
    supervisor = plant.supervise(*options)
    workers = await supervisor.served_by(2)
    [other] = set(workers) - {await plant.running()}
    os.kill(other, signal.SIGSTOP)
    hung = "worker is killed: its event loop is blocked for 5 s"
    await supervisor.says(hung)
    plant.release()
    killed = await supervisor.says(hung, 2)
    assert {each["pid"] for each in killed} == set(workers)
    assert await handle.result(timeout=60) == "done"
    task = await task_of(handle)
    assert (task.attempts, task.crashes) == (2, 1)


async def test_workers_that_reach_a_limit_are_replaced_and_no_task_is_lost(plant: Plant) -> None:
    """Each runs until its successor serves; every task is run once."""
    supervisor = plant.supervise("--workers", "2", "--max-tasks", "20")
    await supervisor.served_by(2)
    handles: list[Handle[object]] = []
    for _ in range(MANY // 20):
        answers = await plant.q.client.enqueue_many(
            [application.note.call(str(plant.folder)) for _ in range(20)]
        )
        handles += [each for each in answers if isinstance(each, Handle)]
    for handle in handles:
        await handle.result(timeout=60)
    await supervisor.served_by(4)
    await until(lambda: len(supervisor.workers()) == 2, "the end of those replaced")
    supervisor.send(signal.SIGTERM)
    assert await supervisor.ended() == 0, supervisor.log

    runs = [task for tasks in plant.ran().values() for task in tasks]
    assert len(runs) == len(set(runs)) == len(handles) == MANY
    events = [
        event
        for line in supervisor.log.splitlines()
        for event in ("worker serves", "worker has ended")
        if event in line
    ]
    present = 0
    for event in events[: events.index("worker has ended", 2)]:
        present += 1 if event == "worker serves" else -1
    assert present == 3, "a successor serves before the one before it has left"


async def test_a_worker_that_grows_is_replaced(plant: Plant) -> None:
    """Its memory is what the system says that it uses."""
    supervisor = plant.supervise("--workers", "1", "--max-memory", "200")
    [first] = await supervisor.served_by(1)
    await asked(plant, blocking.grow.call(200))
    [replaced] = await supervisor.says("worker is replaced")
    assert replaced["pid"] == first
    assert str(replaced["why"]).startswith("it uses 2")
    assert (await supervisor.served_by(2))[0] == first
    await until(lambda: not is_alive(first), "the end of the one that has grown")


async def test_the_code_is_renewed_without_a_gap(plant: Plant) -> None:
    """SIGUSR2: workers are replaced one by one; what the old ones run may end."""
    held = await asked(plant, application.hold.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "2")
    before = await supervisor.served_by(2)
    await plant.running()
    supervisor.send(signal.SIGUSR2)
    # the second has to wait until the first of the old ones has left
    await supervisor.served_by(3)
    plant.release()
    after = (await supervisor.served_by(4))[2:]
    assert not set(before) & set(after)
    assert await held.result(timeout=30) == "held"
    await until(lambda: set(supervisor.workers()) == set(after), "the end of the old ones")
    assert (await task_of(held)).attempts == 1


# --- stop ---------------------------------------------------------------------------------------


async def test_a_signal_to_the_whole_group_is_one_signal(plant: Plant) -> None:
    """As a terminal and systemd send it: workers let what they run end, and none is left."""
    handle = await asked(plant, application.hold.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "2")
    workers = await supervisor.served_by(2)
    await plant.running()
    for pid in (*workers, supervisor.pid):
        os.kill(pid, signal.SIGINT)
    await supervisor.says("worker stopping", 2)
    plant.release()
    assert await supervisor.ended() == 0, supervisor.log
    assert await handle.result() == "held"
    assert not any(is_alive(pid) for pid in workers)


async def test_a_second_signal_ends_all_at_once(plant: Plant) -> None:
    """They do not wait for the grace, and still give their tasks back."""
    handle = await asked(plant, application.hold.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "1", "--grace", "600")
    await supervisor.served_by(1)
    await plant.running()
    supervisor.send(signal.SIGTERM)
    await supervisor.says("worker stopping")
    supervisor.send(signal.SIGINT)
    assert await supervisor.ended() == 0, supervisor.log
    await is_unburned(handle)


async def test_a_worker_that_cannot_leave_is_killed_after_the_second_signal(plant: Plant) -> None:
    """Its task runs again when its lease is over; the exit status is 1."""
    handle = await asked(plant, blocking.block_in_c.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "1", "--lease", "1", "--grace", "600")
    [worker] = await supervisor.served_by(1)
    await plant.running()
    supervisor.send(signal.SIGTERM)
    await supervisor.says("supervisor stopping")
    supervisor.send(signal.SIGTERM)
    assert await supervisor.ended() == 1, supervisor.log
    assert not is_alive(worker)
    assert (await task_of(handle)).state is State.ACTIVE


async def test_a_supervisor_that_is_killed_leaves_no_worker_behind(plant: Plant) -> None:
    """They stop as if they had been asked to: what runs ends, and is not run again."""
    handle = await asked(plant, application.hold.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "2")
    workers = await supervisor.served_by(2)
    await plant.running()
    supervisor.send(signal.SIGKILL)
    await until(lambda: len(supervisor.lines("worker stopping")) == 2, "that workers leave")
    plant.release()
    await until(lambda: not any(is_alive(pid) for pid in workers), "the end of all workers")
    assert await handle.result() == "held"
    assert (await task_of(handle)).attempts == 1


SLOW = "import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(60)\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_is_being_imported_leaves_too(
    plant: Plant, number: signal.Signals
) -> None:
    """Whether its supervisor is stopped or killed: it need not wait for what is imported."""
    (plant.folder / "slow.py").write_text(SLOW)
    supervisor = plant.supervise("--workers", "2", app="slow:q", cwd=plant.folder)
    await until((plant.folder / "began").exists, "the import of the application")
    [worker] = supervisor.workers()
    supervisor.send(number)
    assert await supervisor.ended() == (0 if number is signal.SIGTERM else -number)
    await until(lambda: not is_alive(worker), "the end of its worker")


async def test_a_stop_is_obeyed_from_the_first_moment(plant: Plant) -> None:
    """While the supervisor itself is imported, and at whatever moment after that."""
    for _ in range(3):
        supervisor = plant.supervise("--workers", "2")
        await until(lambda: bool(handled(supervisor.pid)), "its first handler")  # noqa: B023
        supervisor.send(signal.SIGTERM)
        assert await supervisor.ended() == 0, supervisor.log


def handled(pid: int) -> int:
    """Return the signals that a process has handlers for, as bits (proc_pid_status(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1


@pytest.mark.skipif(not can_be_process_1(), reason="needs a namespace of processes")
async def test_a_supervisor_may_be_process_1(plant: Plant) -> None:
    """It stops, with its worker, on a signal that the kernel would drop for others."""
    supervisor = plant.supervise("--workers", "1", before=tuple(SEND["process 1"]))
    await supervisor.served_by(1)
    [inner] = psutil.Process(supervisor.pid).children()
    inner.send_signal(signal.SIGTERM)
    assert await supervisor.ended() == 0, supervisor.log
    assert len(supervisor.lines("worker stopped")) == 1


# --- pause --------------------------------------------------------------------------------------


async def test_a_pause_is_passed_on_to_those_too_that_come_later(plant: Plant) -> None:
    """None of them claims, until the supervisor is continued."""
    supervisor = plant.supervise("--workers", "1")
    [first] = await supervisor.served_by(1)
    supervisor.send(signal.SIGTSTP)
    await supervisor.says("worker paused")
    os.kill(first, signal.SIGKILL)
    await supervisor.says("worker paused", 2)
    handle = await asked(plant, application.note.call(str(plant.folder)))
    assert (await task_of(handle)).state is State.PENDING
    supervisor.send(signal.SIGCONT)
    await handle.result(timeout=30)


# --- what is wrong ------------------------------------------------------------------------------


async def test_a_mistake_is_met_once(plant: Plant) -> None:
    """The line says what is wrong, and the exit status is 2; it is not tried again."""
    supervisor = plant.supervise("--workers", "4", app="nowhere:q")
    assert await supervisor.ended() == 2, supervisor.log
    assert supervisor.log.count("there is no module 'nowhere'") == 1


async def test_a_burst_of_several_workers_ends(plant: Plant) -> None:
    """When there is nothing left to do, with 0."""
    handle = await asked(plant, application.note.call(str(plant.folder)))
    supervisor = plant.supervise("--workers", "2", "--burst")
    assert await supervisor.ended() == 0, supervisor.log
    assert (await task_of(handle)).state is State.COMPLETED


# --- reload -------------------------------------------------------------------------------------

GREETING = """
from qcore import Context, Qcore
q = Qcore()

@q.task("greet", retention=60)
async def greet(ctx: Context) -> str:
    return {word!r}
"""


async def test_code_that_changes_is_run_and_a_mistake_in_it_is_waited_out(plant: Plant) -> None:
    """The supervisor says what is wrong with it; the worker of before goes on meanwhile."""
    code = plant.folder / "greeting.py"
    code.write_text(GREETING.format(word="hello"))
    supervisor = plant.supervise("--reload", app="greeting:q", cwd=plant.folder)
    await supervisor.served_by(1)
    assert await greeted(plant) == "hello"

    code.write_text("def broken(:\n")
    await supervisor.says("worker could not be started; waiting for a change of the code")
    assert "SyntaxError" in supervisor.log
    assert await greeted(plant) == "hello"

    code.write_text(GREETING.format(word="good evening"))
    await supervisor.served_by(2)
    await supervisor.says("worker stopped")
    assert await greeted(plant) == "good evening"
    supervisor.send(signal.SIGTERM)
    assert await supervisor.ended() == 0, supervisor.log


async def greeted(plant: Plant) -> object:
    """Return what the worker's version of the code says."""
    handle = await plant.q.client.enqueue(
        NewTask("greet", id=token_hex(8), payload=b"{}", retention=60.0)
    )
    return await handle.result(timeout=30)
