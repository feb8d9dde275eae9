import asyncio
import contextvars
import threading

import pytest

from qcore import Context, InvalidOption
from qcore.app.worker.pools.threads import ThreadPool
from tests.app.kit import Lab, turn

PATIENCE = 30.0

where: contextvars.ContextVar[str] = contextvars.ContextVar("where")


async def test_a_call_is_answered() -> None:
    """What the function returns is the result, from a thread that is not ours."""
    threads = ThreadPool(2)

    def look(a: int, b: int) -> tuple[str, int, int]:
        return threading.current_thread().name, a, b

    name = await threads.submit(look, 1, b=2)
    assert name == ("qcore-handler-0", 1, 2)
    threads.close()


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), SystemExit()])
async def test_an_error_is_raised_where_it_is_awaited(error: BaseException) -> None:
    """Any error comes back as itself."""
    threads = ThreadPool(1)

    def bad() -> None:
        raise error

    future = threads.submit(bad)
    while not future.done():
        await turn(1)
    assert future.exception() is error
    threads.close()


async def test_context_variables_are_the_callers() -> None:
    """A thread sees what its caller had set, and changes nothing for the caller."""
    threads = ThreadPool(1)
    where.set("caller")

    def look() -> str:
        seen = where.get()
        where.set("thread")
        return seen

    assert await threads.submit(look) == "caller"
    assert where.get() == "caller"
    threads.close()


async def test_threads_are_made_when_they_are_needed() -> None:
    """One call after the other uses one thread; many at once use as many as the pool may have."""
    threads = ThreadPool(3)
    for _ in range(5):
        assert await threads.submit(lambda: threading.current_thread().name) == "qcore-handler-0"
    together = threading.Barrier(3)
    calls = [threads.submit(together.wait, PATIENCE) for _ in range(3)]
    await asyncio.gather(*calls)
    calls = [threads.submit(threading.get_ident) for _ in range(30)]
    assert len(set(await asyncio.gather(*calls))) <= 3
    threads.close()


async def test_threads_end_when_the_pool_is_closed() -> None:
    """A closed pool finishes what it has, and its threads are gone."""
    threads = ThreadPool(1)
    go = threading.Event()
    thread = await threads.submit(threading.current_thread)
    last = threads.submit(go.wait, PATIENCE)
    threads.close()
    go.set()
    assert await last
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()


def test_a_thread_whose_loop_is_gone_ends_quietly() -> None:
    """A call that outlives its loop tells nobody, and raises nothing."""
    go = threading.Event()
    found: list[threading.Thread] = []

    async def leave_it() -> None:
        threads = ThreadPool(1)
        found.append(await threads.submit(threading.current_thread))
        threads.submit(go.wait, PATIENCE)
        threads.close()

    asyncio.run(leave_it())
    go.set()
    found[0].join(PATIENCE)
    assert not found[0].is_alive()


def test_threads_do_not_keep_the_process_alive() -> None:
    """They are daemons: a handler that never ends does not hold the exit of its process."""

    async def look() -> bool:
        threads = ThreadPool(1)
        daemon = await threads.submit(lambda: threading.current_thread().daemon)
        threads.close()
        return daemon

    assert asyncio.run(look())


def test_a_pool_of_none_is_refused() -> None:
    """A pool has at least one thread."""
    with pytest.raises(InvalidOption, match="0"):
        ThreadPool(0)


async def test_handlers_run_in_threads_as_many_at_a_time_as_there_are() -> None:
    """`threads` limits how many plain handlers run at once; the loop is free meanwhile."""
    lab = Lab()
    together = threading.Barrier(4)
    lock = threading.Lock()
    now: list[int] = [0, 0]

    @lab.task("slow")
    def slow(ctx: Context) -> None:
        with lock:
            now[0] += 1
            now[1] = max(now[1], now[0])
        together.wait(PATIENCE)
        with lock:
            now[0] -= 1

    for _ in range(12):
        await slow.enqueue()
    async with lab.working(threads=4):
        await lab.signals.settled.wait(12)
    assert now == [0, 4]
