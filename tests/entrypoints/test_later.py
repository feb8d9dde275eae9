"""Queues that declare tasks first, and are told later where they wait."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qcore import Context, InvalidOption, Qcore, Router
from qcore.adapters.memory import MemoryBroker
from qcore.periodic import PeriodicTask
from qcore.serializers import MessagePackSerializer
from qcore.testing import ManualClock, Signals, assert_enqueued, drain_sync


def a_later_queue() -> Qcore:
    """Return a queue that has a task, and no store yet."""
    q = Qcore.later(defaults={"max_retry": 3})

    @q.task("greet", queue="low")
    def greet(ctx: Context, whom: str) -> str:
        return f"hello {whom}"

    return q


def greet(q: Qcore) -> Any:
    """Return the task of such a queue."""
    return q.resolve("greet")


USES: dict[str, Callable[[Qcore], object]] = {
    "enqueue": lambda q: asyncio.run(greet(q).enqueue("Ann")),
    "enqueue_sync": lambda q: greet(q).enqueue_sync("Ann"),
    "enqueue_many": lambda q: q.blocking.enqueue_many([]),
    "handle": lambda q: greet(q).handle("1"),
    "handle_sync": lambda q: greet(q).handle_sync("1"),
    "worker": lambda q: q.worker(),
    "scheduler": lambda q: q.scheduler(),
    "inspector": lambda q: q.inspector,
    "blocking_inspector": lambda q: q.blocking_inspector,
    "entries": lambda q: q.entries,
    "blocking_entries": lambda q: q.blocking_entries,
    "client": lambda q: q.client,
    "broker": lambda q: q.broker,
    "clock": lambda q: q.clock,
    "open": lambda q: asyncio.run(q.open()),
    "close": lambda q: asyncio.run(q.close()),
    "drain": drain_sync,
}


@pytest.mark.parametrize("use", USES)
def test_what_needs_a_store_says_that_none_is_configured(use: str) -> None:
    """It says what to do, too."""
    with pytest.raises(InvalidOption, match=r"not configured yet: call q\.configure\(url\) before"):
        USES[use](a_later_queue())


def test_any_other_attribute_is_missing_as_usual() -> None:
    """The words are Python's own."""
    q: Any = a_later_queue()
    with pytest.raises(AttributeError, match="'Qcore' object has no attribute 'brokr'"):
        _ = q.brokr
    assert not hasattr(q, "brokr")


def test_all_is_declared_before_it_is_configured(tmp_path: Path) -> None:
    """Tasks, routers, periodic tasks, middleware, hooks and instruments are there then."""
    q, router, signals, told = a_later_queue(), Router(), Signals(), list[str]()

    @router.task("two")
    def two(ctx: Context) -> None:
        told.append(ctx.name)

    @q.enqueue_middleware
    async def name_all(tasks: Any, send: Any) -> Any:
        told.extend(f"sent {task.name}" for task in tasks)
        return await send(tasks)

    q.include(router)
    q.every(60)(two)
    q.add_instrument(signals)

    @q.on_error
    def hear(ctx: Context, error: BaseException) -> None: ...

    q.wrap_broker(lambda broker: broker)
    q.configure(f"sqlite:///{tmp_path}/shop.db", clock=ManualClock())
    two.enqueue_sync()
    assert drain_sync(q, jump=False) == 1
    assert told == ["sent two", "two"]
    assert "greet" not in signals.story()
    assert "two" in signals.story()
    assert [each.name for each in q.blocking_entries.list()] == ["two"]
    assert q.has_own_store
    asyncio.run(q.close())


def test_a_queue_is_configured_once() -> None:
    """A second store would have the tasks of the first one wait for nobody."""
    q = a_later_queue()
    q.configure("memory://", max_payload=100)
    broker = q.broker
    q.configure("memory://", max_payload=100)
    assert q.broker is broker
    with pytest.raises(InvalidOption, match=r"configured already, with its tasks in memory://"):
        q.configure("sqlite:///other.db", max_payload=100)
    with pytest.raises(InvalidOption, match="again=True"):
        q.configure("memory://")
    assert q.broker is broker


def test_a_queue_that_was_made_with_a_store_has_it() -> None:
    """It can be given another one all the same, by who means that."""
    q = Qcore("memory://")
    with pytest.raises(InvalidOption, match="configured already"):
        q.configure(broker=MemoryBroker())
    other = MemoryBroker()
    q.configure(broker=other, again=True)
    assert q.broker is other


def test_each_application_of_a_test_run_has_a_store_of_its_own() -> None:
    """Even one of the same URL is made anew."""
    q = a_later_queue()
    for number in range(3):
        q.configure("memory://", clock=ManualClock(), again=True)
        greet(q).enqueue_sync(f"Ann {number}")
        assert q.blocking_inspector.counts() == {"low": {"pending": 1}}


def test_what_cannot_be_configured_leaves_it_as_it_was() -> None:
    """Neither half of it counts."""
    q = a_later_queue()
    for wrong in ({"url": "ftp://x"}, {"url": "memory://", "broker": MemoryBroker()}):
        with pytest.raises(InvalidOption):
            q.configure(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="max_result is 0"):
        q.configure("memory://", max_result=0)
    with pytest.raises(InvalidOption, match="instruments is 7"):
        q.configure("memory://", instruments=7)  # type: ignore[arg-type]
    assert not q.is_configured
    with pytest.raises(InvalidOption, match="not configured yet"):
        _ = q.broker


def test_an_annotation_that_cannot_be_read_is_refused_when_the_serializer_is_known() -> None:
    """As it is where the queue has a serializer from the start."""
    q = Qcore.later()

    @q.task("odd")
    def odd(ctx: Context, what: list[int] | set[int]) -> None: ...

    with pytest.raises(InvalidOption, match="'what' has an annotation that cannot be read"):
        q.configure("memory://")


def test_the_serializer_of_the_configuration_is_used() -> None:
    """Also for handlers that were declared before."""
    q = a_later_queue()
    q.configure("memory://", serializer=MessagePackSerializer())
    greet(q).enqueue_sync("Ann")
    task = assert_enqueued(greet(q), whom="Ann")
    assert task.spec.content_type == "application/msgpack"
    assert task.spec.max_retry == 3


def test_a_test_swaps_the_store_of_a_queue_that_is_not_configured() -> None:
    """And it is as unconfigured as before when the block is over."""
    q = a_later_queue()
    with q.swapped(clock=ManualClock()):
        greet(q).enqueue_sync("Ann")
        assert drain_sync(q) == 1
        assert not q.is_configured
    with pytest.raises(InvalidOption, match="not configured yet"):
        greet(q).enqueue_sync("Bob")


def test_what_is_configured_in_a_swapped_block_counts_afterwards(tmp_path: Path) -> None:
    """A fixture swaps, and then the application is made: its own store is not touched."""
    q = a_later_queue()
    file = tmp_path / "shop.db"
    with q.swapped(clock=ManualClock()):
        q.configure(f"sqlite:///{file}")
        greet(q).enqueue_sync("Ann")
        assert drain_sync(q) == 1
        assert not file.exists()
    assert q.store == f"sqlite:///{file}"
    greet(q).enqueue_sync("Ann")
    assert file.exists()
    q.blocking.close()


def test_a_periodic_task_may_be_made_before() -> None:
    """A provider's module is imported before the application is made."""
    q = a_later_queue()
    task = PeriodicTask(60, greet(q).call("Ann"), name="often")
    q.configure("memory://")
    q.blocking_entries.store(task)
    assert [each.name for each in q.blocking_entries.list()] == ["often"]
