import asyncio
import threading

import pytest

from qcore import Context, InvalidTask, NoResult, State
from qcore.adapters.memory import MemoryBroker
from qcore.answers import Refused
from qcore.app.client.handles import BlockingHandle
from qcore.app.client.inline import Suspended, run_inline
from qcore.testing import FaultyBroker, a_task, drain_sync
from qcore.testing.builders import NOW
from tests.app.kit import Lab


class TestInline:
    def test_a_coroutine_that_never_suspends_is_stepped_to_its_end(self) -> None:
        """What it returns is returned; no loop is needed."""

        async def seven() -> int:
            return 7

        assert run_inline(seven()) == 7

    def test_what_it_raises_is_raised(self) -> None:
        """Its errors are the caller's."""

        async def bad() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            run_inline(bad())

    def test_a_coroutine_that_suspends_is_refused_and_closed(self) -> None:
        """The error says what to use instead, and the coroutine's cleanup has run."""
        closed: list[bool] = []

        async def waits() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                closed.append(True)

        with pytest.raises(Suspended, match=r"waits.*broker\.blocking\(\)"):
            run_inline(waits())
        assert closed == [True]


class TestBlockingClient:
    def test_tasks_are_enqueued_without_a_loop(self) -> None:
        """`enqueue_sync` stores a task like `enqueue` does, in code that has no event loop."""
        lab = Lab()

        @lab.task("mail", queue="critical")
        async def mail(ctx: Context, to: str) -> None: ...

        handle = mail.enqueue_sync(to="a@example.com")
        task = handle.task()
        assert task is not None
        assert (handle.queue, handle.is_new, handle.status()) == ("critical", True, State.PENDING)
        assert task.spec.payload == b'{"to":"a@example.com"}'
        assert "mail critical/" in repr(handle)

    def test_options_go_the_same_way(self) -> None:
        """`using` serves both colours."""
        lab = Lab()

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        task = mail.using(delay=5, priority=3, task_id="one").enqueue_sync().task()
        assert task is not None
        assert (task.id, task.due, task.spec.priority) == ("one", NOW + 5, 3)

    def test_a_result_can_be_waited_for(self) -> None:
        """A completed task's result is decoded by the handler's annotation."""
        lab = Lab()

        @lab.task("sum", retention=60)
        async def add(ctx: Context, numbers: list[int]) -> tuple[int, ...]:
            return (sum(numbers),)

        handle = add.enqueue_sync(numbers=[1, 2])
        drain_sync(lab)
        assert handle.result() == (3,)
        assert lab.blocking.handle("default", handle.id).result() == [3]

    def test_waiting_for_a_result_has_an_end(self) -> None:
        """After `timeout` seconds it is a TimeoutError; without retention it is `NoResult`."""
        lab = Lab()

        @lab.task("mail", retention=60)
        async def mail(ctx: Context) -> None: ...

        with pytest.raises(TimeoutError):
            mail.enqueue_sync().result(timeout=3)
        assert lab.clock.now() == NOW + 3
        with pytest.raises(NoResult):
            mail.using(retention=0).enqueue_sync().result()

    def test_a_batch_is_answered_in_order(self) -> None:
        """The bad one is `Refused` in place, the others go in."""
        lab = Lab()

        @lab.task("mail")
        async def mail(ctx: Context, to: int) -> None: ...

        answers = lab.blocking.enqueue_many([mail.call(1), mail.using(priority=9999).call(2)])
        assert [type(answer) for answer in answers] == [BlockingHandle, Refused]
        with pytest.raises(InvalidTask, match="9999"):
            mail.using(priority=9999).enqueue_sync(2)

    def test_it_uses_the_blocking_side_of_the_broker(self) -> None:
        """Once it is open, each enqueue is one call, from any thread."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)
        lab.blocking.enqueue(a_task())
        threads = [
            threading.Thread(target=lambda: lab.blocking.enqueue(a_task())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [call.verb for call in broker.calls] == ["open", *["enqueue"] * 9]
        assert run_inline(lab.inspector.counts()) == {"default": {State.PENDING: 9}}

    async def test_it_may_be_called_inside_a_loop(self) -> None:
        """Asynchronous code that must not await here may enqueue all the same."""
        lab = Lab()

        @lab.task("mail")
        async def mail(ctx: Context) -> None: ...

        assert mail.enqueue_sync().status() is State.PENDING

    def test_a_fresh_id_and_the_end(self) -> None:
        """A blocking client names ids as the other does, and can be closed."""
        broker = FaultyBroker(MemoryBroker())
        lab = Lab(broker)
        assert len(lab.blocking.new_id()) == 32
        lab.blocking.close()
        assert [call.verb for call in broker.calls] == ["close"]
