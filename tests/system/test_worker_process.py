"""`qcore worker` as its users run it: real processes, real signals, one SQLite file."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qcore import Handle, State
from qcore.types import Call, Handler
from tests.entrypoints import blocking
from tests.system import application, kit
from tests.system.kit import Shop, is_alive, opened, task_of, until

pytestmark = pytest.mark.system

TASKS = 2_000


class BlockingWorkerProcess(kit.WorkerProcess):
    """A `qcore worker` whose application has handlers that block the loop, too."""

    def __init__(self, url: str, log: Path, *options: str) -> None:
        command = [sys.executable, "-m", "qcore", "worker", f"{blocking.__name__}:q", *options]
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=kit.ROOT, env=os.environ | {"QCORE_URL": url}, stderr=output
            )


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Return a store of its own, closed when its workers have gone."""
    with opened(tmp_path) as shop:
        async with shop.q:
            yield shop


async def asked(shop: Shop, call: Call[object]) -> Handle[object]:
    """Ask for a call in the shop's store, which is not the application's own."""
    return await shop.q.client.enqueue(call)


async def is_unburned(handle: Handle[object]) -> None:
    """Assert that a task waits as if it had never been begun, but for the count of its runs."""
    task = await task_of(handle)
    assert task.state is State.PENDING
    assert (task.attempts, task.failures, task.crashes) == (1, 0, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_task_may_end_before_the_worker_does(
    shop: Shop, number: signal.Signals
) -> None:
    """After the signal the handler goes on, its result is written, and the exit status is 0."""
    handle = await asked(shop, application.hold.call(str(shop.folder)))
    worker = await shop.worker()
    await shop.running()

    worker.send(number)
    await worker.said("worker stopping")
    shop.release()

    assert await worker.ended() == 0, worker.log
    assert (await task_of(handle)).state is State.COMPLETED
    assert await handle.result() == "held"


@pytest.mark.parametrize(
    "handler",
    [
        application.hold,
        application.hold_thread,
        application.hold_lent_thread,
        application.hold_process,
    ],
    ids=lambda handler: handler.name,
)
async def test_a_task_that_outlasts_the_grace_is_given_back(
    shop: Shop, handler: Handler[..., object, object]
) -> None:
    """Wherever its handler runs, it waits again and has burned nothing; the exit status is 0."""
    handle = await asked(shop, handler.call(str(shop.folder)))
    worker = await shop.worker("--grace", "0.2")
    pid = await shop.running()

    worker.send(signal.SIGTERM)

    assert await worker.ended() == 0, worker.log
    await until(lambda: not is_alive(pid), "the end of the handler's process")
    await is_unburned(handle)


async def test_a_second_signal_ends_the_worker_at_once(shop: Shop) -> None:
    """It does not wait for the grace, and still gives its task back."""
    handle = await asked(shop, application.hold.call(str(shop.folder)))
    worker = await shop.worker("--grace", "600")
    await shop.running()

    worker.send(signal.SIGTERM)
    await worker.said("worker stopping")
    worker.send(signal.SIGINT)

    assert await worker.ended() == 0, worker.log
    await is_unburned(handle)


@pytest.mark.parametrize(
    "handler", [blocking.block, blocking.block_in_c], ids=lambda handler: handler.name
)
async def test_a_second_signal_ends_a_worker_whose_loop_is_blocked(
    shop: Shop, handler: Handler[..., object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, its exit status is 1, and the task runs again when its lease is over."""
    monkeypatch.setattr(kit, "WorkerProcess", BlockingWorkerProcess)
    handle = await asked(shop, handler.call(str(shop.folder)))
    worker = await shop.worker("--lease", "1", "--grace", "600")
    await shop.running()

    worker.send(signal.SIGTERM)
    worker.send(signal.SIGINT)

    assert await worker.ended() == 1, worker.log
    assert "worker left" in worker.log
    assert (await task_of(handle)).state is State.ACTIVE
    shop.release()
    await shop.worker("--lease", "1")
    assert await handle.result(timeout=30) == "done"
    task = await task_of(handle)
    assert (task.attempts, task.failures, task.crashes) == (2, 0, 1)


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGUSR1])
async def test_a_paused_worker_goes_on_with_what_it_has(shop: Shop, number: signal.Signals) -> None:
    """It is not stopped as a process; it finishes its task, and claims none that comes later."""
    held = await asked(shop, application.hold.call(str(shop.folder)))
    worker = await shop.worker()
    await shop.running()

    worker.send(number)
    await worker.said("worker paused")
    later = await asked(shop, application.note.call(str(shop.folder)))
    shop.release()
    await held.result(timeout=30)
    worker.send(signal.SIGTERM)

    assert await worker.ended() == 0, worker.log
    task = await task_of(later)
    assert (task.state, task.attempts) == (State.PENDING, 0)


async def test_another_worker_takes_over_from_one_that_was_killed(shop: Shop) -> None:
    """When the lease is over the task runs again: one crash, and no failure."""
    handle = await asked(shop, application.hold.call(str(shop.folder)))
    killed = await shop.worker("--lease", "1")
    await shop.running()

    killed.send(signal.SIGKILL)
    assert await killed.ended() == -signal.SIGKILL
    other = await shop.worker("--lease", "1")
    await until(lambda: other.pid in shop.ran(), "the other worker runs it")
    shop.release()
    await handle.result(timeout=30)

    task = await task_of(handle)
    assert (task.attempts, task.failures, task.crashes) == (2, 0, 1)


async def test_a_child_process_does_not_outlive_a_worker_that_was_killed(shop: Shop) -> None:
    """Nobody could settle its task any more: it ends even where none of its threads can run."""
    await asked(shop, application.hold_process.call(str(shop.folder)))
    worker = await shop.worker()
    child = await shop.running()
    assert child != worker.pid

    os.kill(child, signal.SIGSTOP)
    worker.send(signal.SIGKILL)

    await until(lambda: not is_alive(child), "the end of the child")


async def test_a_child_process_logs_as_its_worker_does(shop: Shop) -> None:
    """To standard error, one JSON object a line, when nobody reads along."""
    await asked(shop, application.log_in_process.call())
    worker = await shop.worker("--burst")
    await worker.ended()
    [line] = [each for each in worker.log.splitlines() if "logged in a process" in each]
    assert json.loads(line)["level"] == "info"


async def test_a_burst_ends_when_there_is_nothing_left_to_do(shop: Shop) -> None:
    """Everything that was pending has run, and the exit status is 0."""
    calls = [application.note.call(str(shop.folder)) for _ in range(20)]
    handles = await shop.q.client.enqueue_many(calls)
    worker = await shop.worker("--burst")

    assert await worker.ended() == 0, worker.log
    assert sorted(shop.ran()[worker.pid]) == sorted(handle.id for handle in handles)


async def test_only_the_queues_named_are_served(shop: Shop) -> None:
    """What waits in another queue is left alone."""
    folder = str(shop.folder)
    served = [application.note.using(queue=name).call(folder) for name in ("high", "low")]
    other = await asked(shop, application.note.using(queue="other").call(folder))
    handles = await shop.q.client.enqueue_many(served)
    worker = await shop.worker("--queues", "high=2,low", "--burst")

    assert await worker.ended() == 0, worker.log
    assert [await handle.status() for handle in handles] == [State.COMPLETED] * 2
    assert (await task_of(other)).attempts == 0


async def test_two_workers_share_the_tasks_of_one_file(shop: Shop) -> None:
    """Both take part, and each of 2,000 tasks is run exactly once."""
    calls = [application.meet.call(str(shop.folder), workers=2) for _ in range(TASKS)]
    handles = await shop.q.client.enqueue_many(calls)
    workers = [await shop.worker("--concurrency", "20") for _ in range(2)]

    await until(lambda: _is_empty(shop), "all tasks are done")
    for worker in workers:
        worker.send(signal.SIGTERM)
        assert await worker.ended() == 0, worker.log

    ran = shop.ran()
    assert set(ran) == {worker.pid for worker in workers}
    assert Counter(id_ for ids in ran.values() for id_ in ids) == Counter(
        handle.id for handle in handles
    )


async def _is_empty(shop: Shop) -> bool:
    return not await shop.q.inspector.counts()
