"""What is gathered for one who watches is bounded, and nothing is left out unsaid."""

from hypothesis import given
from hypothesis import strategies as st

from qcore.app.client import update_buffer
from qcore.app.client.update_buffer import UpdateBuffer
from qcore.ports import TasksChanged, WorkAvailable

QUEUES = st.sampled_from([f"q{n}" for n in range(5)])
CHANGES = st.builds(TasksChanged, QUEUES, st.lists(st.sampled_from("abcdefgh"), max_size=9))


@given(st.lists(CHANGES, max_size=30), st.integers(1, 4))
def test_every_task_told_of_is_listed_or_there_were_more(
    changes: list[TasksChanged], most: int
) -> None:
    """At most so many of each queue, each once, and only such as were told of."""
    buffer = UpdateBuffer(most, lambda: None)
    for change in changes:
        buffer.notify(change)
    gathered = buffer.take()
    assert gathered.keys() == {change.queue for change in changes}
    for queue, tasks in gathered.items():
        told = {task for change in changes if change.queue == queue for task in change.ids}
        assert len(tasks.ids) == len({*tasks.ids}) <= most
        assert told >= {*tasks.ids}
        assert tasks.more == (told > {*tasks.ids})
        assert tasks.is_vague == any(c.queue == queue and not c.ids for c in changes)
    assert buffer.take() == {}


def test_many_queues_share_a_bound() -> None:
    """However many there are: of those for which there was no room it says that there were more."""
    buffer = UpdateBuffer(1, lambda: None)
    for n in range(update_buffer.QUEUES_OF_IDS + 50):
        buffer.notify(TasksChanged(f"q{n}", ["a"]))
    gathered = buffer.take()
    assert sum(len(each.ids) for each in gathered.values()) == update_buffer.QUEUES_OF_IDS
    assert sum(each.more for each in gathered.values()) == 50


def test_who_watches_is_woken_once_until_it_has_looked() -> None:
    """However much comes meanwhile."""
    woken: list[int] = []
    buffer = UpdateBuffer(1, lambda: woken.append(1))
    for _ in range(3):
        buffer.notify(WorkAvailable())
        buffer.notify(TasksChanged("q", ["a"]))
    assert len(woken) == 1
    buffer.take()
    buffer.notify(WorkAvailable())
    assert len(woken) == 2
