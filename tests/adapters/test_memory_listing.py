"""How the memory broker lists: in the order of a heap that is sorted in place."""

from hypothesis import given
from hypothesis import strategies as some

from qcore.adapters.memory import MemoryBroker
from qcore.adapters.memory.stored_task import IdHeap
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Succeeded, Updated
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.steps import a_claimed, end, put, sweep_all

IDS = some.sampled_from("abcdefgh")
KEYS = some.tuples(some.sampled_from((-1.0, 0.0, 2.5)), some.integers(0, 9))
STEPS = some.lists(
    some.one_of(
        some.tuples(some.just("add"), IDS, KEYS),
        some.tuples(some.sampled_from(("discard", "pop", "first", "list")), IDS, KEYS),
    ),
    max_size=40,
)


@given(STEPS)
def test_a_heap_is_listed_in_order_whatever_has_become_of_it(
    steps: list[tuple[str, str, tuple[float, int]]],
) -> None:
    """Both ways, from any key on, each id once, or of each number the first; it stays a heap."""
    heap, held = IdHeap(), dict[str, tuple[float, int]]()
    for step, task, key in steps:
        least = min(held.values(), default=None)
        if step == "add" and key not in held.values():
            heap.discard(task)
            heap.add(key, task)
            held[task] = key
        elif step == "discard":
            heap.discard(task)
            held.pop(task, None)
        elif step == "pop" and held:
            assert held.pop(heap.pop()) == least
        elif step == "first":
            assert heap.first() == least
        elif step == "list":
            ordered = sorted(held, key=lambda each: held[each])
            assert [*heap.ascending(None)] == ordered
            assert [*heap.descending(None)] == ordered[::-1]
            assert [*heap.ascending(key)] == [each for each in ordered if held[each] > key]
            firsts = {held[each][0]: each for each in ordered[::-1]}
            assert [*heap.firsts()] == [firsts[each] for each in sorted(firsts)]
            assert [*heap.descending(key)] == [each for each in ordered[::-1] if held[each] < key]
    assert [heap.pop() for _ in range(len(heap))] == sorted(held, key=lambda each: held[each])


async def test_a_task_that_was_changed_is_listed_once() -> None:
    """It lies in the heap once more, where it was."""
    broker, tasks = MemoryBroker(), some_tasks(3)
    await put(broker, *tasks)
    for _ in range(2):
        await broker.execute("default", [tasks[1].id], Updated({"tags": ("a",)}), now=NOW)
        page = await broker.browse("default", State.PENDING, 10)
        assert [each.id for each in page.tasks] == [each.id for each in tasks]


async def test_completed_tasks_are_listed_by_their_end_and_go_by_their_retention() -> None:
    """Those that end after the first listing are in the next one, and those trimmed are not."""
    broker = MemoryBroker(keep=RetentionPolicy())
    ids: list[str] = []
    for n, retention in enumerate((90.0, 30.0, 60.0, 300.0)):
        task = a_task(retention=retention)
        ids.append(task.id)
        await end(broker, await a_claimed(broker, task), Succeeded(), now=NOW + n)
        page = await broker.browse("default", State.COMPLETED, 10)
        assert [each.id for each in page.tasks] == ids[::-1]
    await sweep_all(broker, now=NOW + 70)
    page = await broker.browse("default", State.COMPLETED, 10)
    assert [each.id for each in page.tasks] == [ids[3], ids[0]]
