import asyncio
import threading
from typing import Any

import pytest

from qcore import Context, State
from qcore.app.worker.pools import threads
from qcore.testing import a_task
from tests.app.kit import Lab, stored, turn


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


@pytest.mark.parametrize(
    ("option", "error"),
    [("expires", "expired"), ("deadline", "its deadline passed before it could run")],
)
@pytest.mark.parametrize("seconds", [1, 2])
async def test_what_waited_too_long_for_a_slot_does_not_begin(
    lab: Lab, option: str, error: str, seconds: float
) -> None:
    """A task whose moment comes while it waits for a thread is dead, and was never run."""
    go = threading.Event()
    ran: list[str] = []

    @lab.task("slow", timeout=None)
    def slow(ctx: Context) -> None:
        ran.append(ctx.id)
        assert go.wait(30)

    await slow.enqueue()
    late = await slow.using(
        **{option: lab.clock.now() + 1 if option == "deadline" else 1}
    ).enqueue()  # type: ignore[misc]
    async with lab.working(threads=1, lease=1000):
        await lab.signals.claimed.wait(2)
        await lab.signals.started.next()
        lab.manual.advance(seconds)
        go.set()
        await lab.signals.settled.wait(2)
    task = await stored(late)
    assert (task.state, task.error) == (State.DEAD, error)
    assert late.id not in ran


@pytest.mark.parametrize("kind", ["raises", "hangs"])
async def test_a_hook_is_not_cut_short_with_its_handler(lab: Lab, kind: str) -> None:
    """A timeout that comes while an error hook runs loses neither the hook nor the verdict."""
    told: list[str] = []
    go = asyncio.Event()

    @lab.on_error
    async def hook(ctx: Context, error: BaseException) -> None:
        await go.wait()
        told.append(str(error))

    @lab.task("mail", timeout=1)
    async def mail(ctx: Context) -> None:
        raise ValueError("it broke")

    handle = await mail.enqueue()
    async with lab.working() as worker:
        await lab.signals.started.next()
        await turn()
        lab.manual.advance(5)
        await turn()
        if kind == "hangs":
            worker.stop()
            await turn()
        go.set()
        await lab.signals.settled.next()
    task = await stored(handle)
    assert (task.state, task.failures, told) == (State.RETRY, 1, ["it broke"])


async def test_what_was_done_in_time_counts_though_the_loop_heard_of_it_late(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that returned before its timeout has succeeded, however busy the loop was."""
    told = threading.Event()

    def call_soon(*call: Any) -> None:
        tell(*call)
        told.set()

    tell = threads._call_soon  # noqa: SLF001  (by which a thread tells the loop what it returned)
    monkeypatch.setattr(threads, "_call_soon", call_soon)

    @lab.task("work", timeout=1, retention=60)
    def work(ctx: Context) -> str:
        return "done"

    @lab.task("rude")
    async def rude(ctx: Context) -> None:
        # the loop stands still until the thread has returned, and the timeout is over
        assert told.wait(30)
        lab.manual.advance(2)

    handle = await work.enqueue()
    await lab.client.enqueue(a_task(name="rude"))
    async with lab.working():
        await lab.signals.settled.wait(2)
    task = await stored(handle)
    assert (task.state, task.failures) == (State.COMPLETED, 0)
