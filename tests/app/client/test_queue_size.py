"""How much a queue stores: exact where few tasks are, else estimated from a sample."""

import pytest

from qcore import InvalidOption
from qcore.queries import QueueSize
from qcore.testing import a_task
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab()


async def test_what_tasks_have_in_them_is_added_up(lab: Lab) -> None:
    """Arguments, ids, names, headers and tags, as bytes; of this queue alone."""
    assert await lab.inspector.queue_size("default") == QueueSize(0, is_exact=True)
    task = a_task(id="ü", name="mail", payload=b"12345", headers={"a": "bc"}, tags=("eu",))
    await lab.client.enqueue_many([task, a_task(queue="other")])
    assert await lab.inspector.queue_size("default") == QueueSize(16, is_exact=True)


async def test_many_tasks_are_estimated_from_few(lab: Lab) -> None:
    """By the mean of each state, as states differ."""
    now = lab.clock.now()
    tasks = [a_task(id=f"p{n:03}", name="t", payload=b"x" * 95) for n in range(300)]
    tasks += [a_task(id=f"s{n:03}", name="t", payload=b"", due=now + 60) for n in range(50)]
    await lab.client.enqueue_many(tasks)
    size = await lab.inspector.queue_size("default", sample=20)
    assert size == QueueSize(300 * 100 + 50 * 5, is_exact=False)


async def test_a_sample_of_nothing_is_refused(lab: Lab) -> None:
    """In one line."""
    with pytest.raises(InvalidOption, match="sample is 0: expected a whole number from 1"):
        await lab.inspector.queue_size("default", sample=0)
