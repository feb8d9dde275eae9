"""What a handler takes and returns is in a process what it is in a thread."""

from typing import Any

from qcore import Handle, NoResult, chain
from tests.app import odd_results


async def verdict(handle: Handle[Any]) -> list[object]:
    """Return what is stored of a task, and its result."""
    task = await handle.task()
    if task is None:
        return ["gone"]
    try:
        result = await handle.result()
    except NoResult:
        result = None
    return [task.state, task.failures, task.crashes, task.error, result]


async def test_every_result_has_the_verdict_that_it_has_in_a_thread() -> None:
    """Kept, it is equal or refused with the same reason; else nobody minds what it is."""
    lab, handlers = odd_results.lab, (odd_results.in_thread, odd_results.in_process)
    handles = {
        (what, kept): [await each.using(retention=kept).enqueue(what) for each in handlers]
        for what in odd_results.ODD
        for kept in (0, 600)
    }
    data = await odd_results.length.using(retention=600).enqueue(memoryview(b"four"))
    await lab.worker(burst=True, process_pool=1).run()
    for case, (here, elsewhere) in handles.items():
        assert await verdict(elsewhere) == await verdict(here), case
    # an argument that cannot be pickled is decoded in the child
    assert await data.result() == 4


async def test_a_result_that_cannot_be_pickled_is_passed_on_to_the_next_step() -> None:
    """A chain gets it as the serializer writes it."""
    handle = await chain(odd_results.pass_on.call(), odd_results.take).enqueue()
    await odd_results.lab.worker(burst=True, process_pool=1).run()
    assert await handle.result() == 7
