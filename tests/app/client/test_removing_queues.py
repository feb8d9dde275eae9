"""An inspector removes queues: empty ones, and others if it is forced."""

import pytest

from qcore import Context, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.moments import Moment
from qcore.errors import QueueHasTasks
from qcore.testing import a_task, some_tasks
from qcore.testing.builders import NOW
from qcore.testing.entries import an_entry, put_entry
from qcore.testing.optional_ports import periodic
from tests.app.kit import Lab


async def test_an_empty_queue_is_removed() -> None:
    """With its limits; one that never was too."""
    lab = Lab()
    await lab.inspector.pause("default")
    assert await lab.inspector.remove_queue("default") == 0
    assert not (await lab.inspector.limits("default")).is_paused
    assert await lab.inspector.remove_queue("nowhere") == 0


async def test_a_queue_with_tasks_is_not_removed_unless_forced() -> None:
    """All of them are deleted then, whatever their state; those of other queues stay."""
    lab = Lab()
    await lab.client.enqueue_many(some_tasks(1_200))
    await lab.client.enqueue_many(some_tasks(3, due=NOW + 9))
    await lab.client.enqueue_many([a_task(group="g"), a_task(unique_key="k"), a_task(queue="o")])
    await lab.inspector.archive("default", [(await lab.client.enqueue(a_task())).id])
    with pytest.raises(QueueHasTasks, match=r"'default' has 1,206 tasks: force=True deletes them"):
        await lab.inspector.remove_queue("default")
    assert await lab.inspector.remove_queue("default", force=True) == 1_206
    assert await lab.inspector.counts() == {"o": {State.PENDING: 1}}


async def test_a_queue_with_periodic_tasks_is_not_removed_unless_forced() -> None:
    """Their entries are removed then, those of other queues stay."""
    lab = Lab()
    for n in range(3):
        await put_entry(lab.broker, an_entry(f"e{n}"))
    await put_entry(lab.broker, an_entry(queue="o"))
    with pytest.raises(QueueHasTasks, match="has 0 tasks and 3 periodic ones: force=True"):
        await lab.inspector.remove_queue("default")
    assert await lab.inspector.remove_queue("default", force=True) == 0
    assert await periodic(lab.broker).entry_queues() == ["o"]


async def test_what_runs_there_is_cancelled_first() -> None:
    """Its handler is interrupted, and its verdict counts for nothing."""
    lab = Lab()
    begun: list[str] = []

    @lab.task("mail")
    async def mail(ctx: Context) -> None:
        begun.append(ctx.id)
        await lab.clock.sleep_until(NOW + 1_000)

    await mail.enqueue()
    async with lab.working():
        await lab.signals.started.next()
        assert await lab.inspector.remove_queue("default", force=True) == 1
        await lab.signals.lease_lost.next()
        assert await lab.inspector.counts() == {}
    assert len(begun) == 1


async def test_a_queue_that_keeps_getting_tasks_is_given_up() -> None:
    """Its removal would never end: whoever enqueues has to stop first."""

    class Busy(MemoryBroker):
        async def remove_queue(self, queue: str, *, now: Moment) -> QueueRemoved | QueueNotEmpty:
            await self.enqueue(some_tasks(2), now=now)
            return await super().remove_queue(queue, now=now)

    lab = Lab(Busy())
    with pytest.raises(QueueHasTasks, match="2 tasks: it keeps getting more: stop who enqueues"):
        await lab.inspector.remove_queue("default", force=True)
