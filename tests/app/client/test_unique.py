"""What callers see of unique tasks; what brokers do is in the contract."""

from datetime import UTC, datetime
from typing import Any

import pytest

from qcore import Context, InvalidTask, Qcore, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.serializers import MessagePackSerializer
from qcore.answers import Refused
from qcore.app.client.handles import Handle
from qcore.ports import Capability
from qcore.testing import a_task
from tests.app.kit import Lab, stored


@pytest.fixture
def lab() -> Lab:
    """Return a queue in memory."""
    return Lab(autojump=True)


async def test_the_same_arguments_are_the_same_task(lab: Lab) -> None:
    """By position or by name, in whatever order, whichever way they are asked for."""

    @lab.task("mail", unique_for=60)
    async def mail(ctx: Context, to: str, copies: int = 1) -> None: ...

    first = await mail.enqueue("ann", 2)
    again: list[Any] = [
        await mail.enqueue(copies=2, to="ann"),
        mail.enqueue_sync(to="ann", copies=2),
        *await lab.client.enqueue_many([mail.call("ann", copies=2)]),
    ]
    assert first.is_new
    assert [(each.is_new, each.id) for each in again] == [(False, first.id)] * 3


async def test_equal_arguments_are_the_same_task(lab: Lab) -> None:
    """As they will arrive: a set, a mapping filled in another order, 1 for a float."""

    @lab.task("index", unique_for=60)
    async def index(
        ctx: Context, tags: set[str], weights: dict[str, float], at: datetime
    ) -> None: ...

    first = await index.enqueue({"a", "b"}, {"x": 1.0, "y": 2.0}, datetime(2025, 1, 1, tzinfo=UTC))
    untyped: Any = index
    again = await untyped.enqueue(["b", "a"], {"y": 2, "x": 1}, "2025-01-01T00:00:00Z")
    assert again.id == first.id


async def test_other_arguments_are_another_task(lab: Lab) -> None:
    """So is what another handler does with the same ones, and what is in another queue."""

    @lab.task("mail", unique_for=None)
    async def mail(ctx: Context, to: str) -> None: ...

    @lab.task("post", unique_for=None)
    async def post(ctx: Context, to: str) -> None: ...

    handles = [
        await mail.enqueue(to="ann"),
        await mail.enqueue(to="bob"),
        await post.enqueue(to="ann"),
        await mail.using(queue="other").enqueue(to="ann"),
    ]
    assert all(handle.is_new for handle in handles)
    assert not (await mail.enqueue(to="bob")).is_new


async def test_a_key_takes_the_place_of_the_arguments(lab: Lab) -> None:
    """It is stored as it was given."""

    @lab.task("mail", unique_key="one at a time")
    async def mail(ctx: Context, to: str) -> None: ...

    first = await mail.enqueue(to="ann")
    assert (await stored(first)).spec.unique_key == "one at a time"
    assert (await stored(first)).spec.unique_for is None
    assert (await mail.enqueue(to="bob")).id == first.id
    assert (await mail.using(unique_key="another").enqueue(to="bob")).is_new


async def test_a_task_that_is_done_may_be_asked_for_again(lab: Lab) -> None:
    """The handle of a duplicate is that of the task that is there, and has its result."""

    @lab.task("add", unique_for=60, retention=60)
    async def add(ctx: Context, a: int, b: int) -> int:
        return a + b

    first = await add.enqueue(1, 2)
    second = await add.enqueue(1, 2)
    await lab.run_due()
    assert await second.result() == await first.result() == 3
    assert (await add.enqueue(1, 2)).is_new


async def test_the_time_of_a_key_is_over_by_the_queue_s_clock(lab: Lab) -> None:
    """Then the same may be asked for though it still waits."""

    @lab.task("mail", unique_for=60, delay=3_600)
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    lab.manual.advance(59.9)
    assert not (await mail.enqueue()).is_new
    lab.manual.advance(0.2)
    assert (await mail.enqueue()).is_new


async def test_the_last_of_many_is_run_once(lab: Lab) -> None:
    """Replaced again and again, a delayed task is run with the last arguments."""
    seen: list[str] = []

    @lab.task("save", unique_key="draft", on_duplicate="replace", delay=5)
    async def save(ctx: Context, text: str) -> None:
        seen.append(text)

    handles: list[Handle[None]] = []
    for text in "abc":
        handles.append(await save.enqueue(text))
        lab.manual.advance(4)
    assert [await handle.status() for handle in handles] == [
        State.GONE,
        State.GONE,
        State.SCHEDULED,
    ]
    lab.manual.advance(4)
    await lab.run_due()
    assert seen == ["c"]


async def test_whatever_they_are_written_in_arguments_are_compared(lab: Lab) -> None:
    """Two queues with different serializers on one broker need not agree, each with itself does."""
    packed = Qcore(broker=lab.broker, clock=lab.manual, serializer=MessagePackSerializer())

    @packed.task("mail", unique_for=60)
    async def mail(ctx: Context, a: int, b: int) -> None: ...

    first = await mail.enqueue(a=1, b=2)
    assert (await mail.enqueue(b=2, a=1)).id == first.id


class Forgetful(MemoryBroker):
    """A broker that knows no unique tasks."""

    capabilities = frozenset()


async def test_a_broker_that_cannot_is_not_asked() -> None:
    """The client says so, and nothing is written."""
    lab = Lab(Forgetful())

    @lab.task("mail", unique_for=60)
    async def mail(ctx: Context) -> None: ...

    with pytest.raises(InvalidTask, match="this broker knows no unique tasks"):
        await mail.enqueue()
    [answer] = await lab.client.enqueue_many([a_task(unique_key="k")])
    assert isinstance(answer, Refused)
    assert await lab.inspector.counts() == {}
    assert Capability.UNIQUE not in lab.broker.capabilities


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique_for": 0}, "unique_for is 0.0: expected more than 0 seconds"),
        ({"unique_for": -1}, "unique_for is -1"),
        ({"unique_key": ""}, "unique_key is ''"),
        ({"unique_key": "k", "on_duplicate": "ignore"}, "expected 'reject' or 'replace'"),
        ({"unique_key": 7}, "unique_key is 7: expected text"),
    ],
)
def test_a_wrong_option_is_refused_when_the_handler_is_declared(
    lab: Lab, options: dict[str, Any], said: str
) -> None:
    """The error names the value, and what was expected."""
    with pytest.raises(InvalidTask, match=said):

        @lab.task("mail", **options)
        async def mail(ctx: Context) -> None: ...


def test_uniqueness_without_a_key_is_refused_in_a_plain_task() -> None:
    """The plain layer computes no key by itself."""
    for options in ({"unique_for": 5.0}, {"on_duplicate": "replace"}):
        with pytest.raises(InvalidTask, match="without a unique_key"):
            a_task(**options)  # type: ignore[arg-type]
