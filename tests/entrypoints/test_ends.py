"""Functions that are called once a task has ended."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from qcore import Context, InvalidOption, NewTask, Qcore, Router, SkipRetry, Snooze, State
from qcore.adapters.memory import MemoryBroker
from qcore.app.tasks.ends import LOOK
from qcore.backoff import fixed
from qcore.domain.task import Demand, Verdict
from qcore.domain.transitions import Released
from qcore.entrypoints.ends import EVERY
from qcore.tasks import Ended
from qcore.testing import ManualClock, drain


class Shop:
    """A queue with tasks that end in all ways, and what end hooks have heard."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker()
        options = {"broker": self.broker, "clock": self.clock, "instruments": [], **options}
        self.q = q = Qcore(**options)
        self.heard: list[Ended] = []

        @q.task("order:pay", max_retry=1, retry=fixed(5))
        async def pay(ctx: Context, how: str = "well") -> str:
            if how == "badly":
                raise OSError("no bank")
            if how == "never":
                raise SkipRetry("no money")
            if how == "later" and ctx.attempt == 1:
                raise Snooze(5)
            return "paid"

        self.pay = pay

    @property
    def told(self) -> list[tuple[str, str, str | None]]:
        """Return the id, the state and the error of what was heard."""
        return [(each.id, each.state.value, each.error) for each in self.heard]

    async def look(self) -> None:
        """Let the time of a look pass, and run what it finds."""
        await drain(self.q, until=self.clock.now() + 2 * EVERY)


@pytest.fixture
def shop() -> Shop:
    """Return a queue whose hook is for all tasks."""
    made = Shop()

    @made.q.on_end
    async def hear(ctx: Context, end: Ended) -> None:
        made.heard.append(end)

    return made


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("well", ("1", "completed", None)),
        ("later", ("1", "completed", None)),
        ("badly", ("1", "archived", "OSError: no bank")),
        ("never", ("1", "dead", "no money")),
    ],
)
async def test_a_hook_is_called_once_when_a_task_has_ended(
    shop: Shop, how: str, end: tuple[str, str, str | None]
) -> None:
    """Not at a retry or a snooze; and a look that finds it too tells nobody again."""
    headers = {"tenant": "7"}
    await shop.pay.using(task_id="1", headers=headers, tags=["vip"]).enqueue(how)
    await drain(shop.q)
    assert shop.told == [end]
    [heard] = shop.heard
    assert (heard.name, heard.queue, heard.headers) == ("order:pay", "default", headers)
    assert (heard.tags, heard.at) == (("vip",), shop.clock.now())
    await shop.look()
    await shop.look()
    assert shop.told == [end]


async def test_the_call_is_stored_in_the_step_of_the_verdict(shop: Shop) -> None:
    """A worker that is killed after it has settled loses none: any worker calls the hook."""
    await shop.pay.using(task_id="1").enqueue()
    await shop.q.worker(burst=True, max_tasks=1, scheduler=False).run()
    assert shop.heard == []
    counts = await shop.q.inspector.counts()
    assert counts["default"][State.PENDING] == 1
    await drain(shop.q)
    assert shop.told == [("1", "completed", None)]


@pytest.mark.parametrize("has_looked", [False, True])
async def test_a_drain_to_the_last_of_many_retries_does_not_look_on_its_way(
    shop: Shop, *, has_looked: bool
) -> None:
    """The retries of three weeks take 26 runs, and the hook one; whoever looks says until when."""
    if has_looked:
        await shop.look()
    await shop.pay.using(task_id="1", max_retry=25).enqueue("badly")
    assert await drain(shop.q) == 26 + 1
    assert [each.attempts for each in shop.heard] == [26]
    await shop.look()
    assert len(shop.heard) == 1


async def test_what_ends_without_a_verdict_is_looked_for(shop: Shop) -> None:
    """What expired, what an operator has cancelled or archived, and what no worker came back to."""
    q, clock = shop.q, shop.clock
    await shop.look()
    await shop.pay.using(task_id="expires", expires=1, delay=0).enqueue()
    cancelled = await shop.pay.using(task_id="cancelled", delay=600).enqueue()
    archived = await shop.pay.using(task_id="archived", delay=600).enqueue()
    discarded = await shop.pay.using(task_id="discarded", delay=600).enqueue()
    deleted = await shop.pay.using(task_id="deleted", delay=600).enqueue()
    crashing = await shop.pay.using(task_id="crashes", max_crashes=1, queue="other").enqueue()
    await q.broker.claim(Demand(1, {"other": 1}), now=clock.now(), until=clock.now() + 1)
    clock.advance(2)
    await cancelled.cancel()
    await q.inspector.archive("default", ["archived"])
    await q.inspector.discard("default", ["discarded"])
    await q.inspector.delete("default", ["deleted"])
    await q.broker.sweep(["default", "other"], 10, now=clock.now())
    assert await crashing.status() is State.DEAD
    assert await archived.status() is await discarded.status() is State.ARCHIVED
    assert await deleted.status() is State.GONE
    await shop.look()
    assert sorted(shop.told) == [
        ("archived", "archived", "archived by an operator"),
        ("cancelled", "dead", "cancelled"),
        ("crashes", "dead", "the worker was lost: its lease ran out"),
        ("expires", "dead", "expired"),
    ]
    await shop.look()
    assert len(shop.told) == 4


async def test_what_ended_while_no_worker_ran_is_found_later(shop: Shop) -> None:
    """However long that was: the last look has left up to when it has looked."""
    await shop.look()
    handle = await shop.pay.using(task_id="1", delay=600).enqueue()
    await handle.cancel()
    shop.clock.advance(86_400)
    await shop.look()
    assert shop.told == [("1", "dead", "cancelled")]


async def test_what_ended_before_there_was_a_hook_is_not_told() -> None:
    """A store may be full of that."""
    shop = Shop()
    handle = await shop.pay.using(task_id="1", delay=600).enqueue()
    await handle.cancel()
    shop.clock.advance(60)

    @shop.q.on_end
    async def hear(ctx: Context, end: Ended) -> None:
        shop.heard.append(end)

    await shop.look()
    assert shop.heard == []


async def test_a_task_that_is_run_again_ends_again(shop: Shop) -> None:
    """Each end is told."""
    await shop.pay.using(task_id="1").enqueue("never")
    await drain(shop.q)
    await shop.q.inspector.run_now("default", ["1"])
    await drain(shop.q)
    assert [each.attempts for each in shop.heard] == [1, 2]


async def test_what_cannot_be_read_has_ended_too(shop: Shop) -> None:
    """Its arguments do not fit, or nobody had a handler for a day."""
    q = shop.q
    await q.client.enqueue(NewTask("order:pay", id="misfit", payload=b'{"how": 7}'))
    await q.client.enqueue(NewTask("nobody", id="unknown", payload=b"{}"))
    for _ in range(2):
        # what is put back waits for 15 seconds
        await q.worker(burst=True, scheduler=False).run()
        shop.clock.advance(86_400)
    await drain(q)
    [misfit, unknown] = sorted(shop.heard, key=lambda end: end.id)
    assert misfit.state is unknown.state is State.DEAD
    assert unknown.error == "for a day no worker had a handler for 'nobody'"


async def test_a_hook_that_fails_is_retried() -> None:
    """It is a task, with the options that it was given."""
    shop, errors = Shop(), list[str]()

    @shop.q.on_end("order:", max_retry=2)
    def hear(ctx: Context, end: Ended) -> None:
        errors.append(threading.current_thread().name)
        if ctx.attempt < 3:
            raise OSError("no receiver")
        shop.heard.append(end)

    await shop.pay.using(task_id="1").enqueue("never")
    await drain(shop.q)
    assert shop.told == [("1", "dead", "no money")]
    assert len(errors) == 3
    assert threading.current_thread().name not in errors


async def test_hooks_are_called_by_name_and_by_state() -> None:
    """Those of a router for its own tasks, whose names they are told as they are."""
    shop, router, heard = Shop(), Router(), list[str]()

    @router.task("send")
    def send(ctx: Context) -> None: ...

    def hook(label: str) -> Any:
        def called(ctx: Context, end: Ended) -> None:
            heard.append(f"{label}: {end.name} {end.state}")

        called.__qualname__ = label
        return called

    router.on_end(hook("mail"))
    router.on_end("other")(hook("none"))
    shop.q.include(router, prefix="mail:")
    shop.q.on_end("order:pay", states="dead")(hook("dead"))
    shop.q.on_end("order:", states=[State.COMPLETED, "archived"])(hook("not dead"))
    await send.enqueue()
    await shop.pay.enqueue("never")
    await shop.pay.enqueue("well")
    await drain(shop.q)
    assert sorted(heard) == [
        "dead: order:pay dead",
        "mail: mail:send completed",
        "not dead: order:pay completed",
    ]


async def test_the_task_of_a_hook_tells_nobody_of_its_end(shop: Shop) -> None:
    """It would go on for ever."""
    await shop.pay.enqueue()
    assert await drain(shop.q) == 2


async def test_what_a_hook_is_told_of_is_where_its_task_comes_from(shop: Shop) -> None:
    """It is in the queue of that task, unless the hook has one of its own."""
    q, elsewhere = shop.q, list[str]()

    @q.on_end("order:", queue="ends")
    async def apart(ctx: Context, end: Ended) -> None:
        origin = ctx.task.origin
        assert origin is not None
        elsewhere.append(f"{ctx.queue} after {origin.queue}/{origin.name}")

    await shop.pay.using(task_id="1", queue="shop").enqueue()
    await drain(q)
    assert elsewhere == ["ends after shop/1"]
    assert shop.heard[0].queue == "shop"


async def test_a_lost_verdict_tells_nobody(shop: Shop) -> None:
    """The task is run again, and its end is then told."""
    q, clock = shop.q, shop.clock
    await shop.pay.using(task_id="1").enqueue()
    [claim] = await q.broker.claim(Demand(1, {"default": 1}), now=clock.now(), until=clock.now())
    await q.broker.settle([Verdict(claim.lease, Released())], now=clock.now())
    await drain(q)
    assert shop.told == [("1", "completed", None)]


def test_inline_tasks_tell_of_their_ends_too(shop: Shop) -> None:
    """Before the enqueue returns."""
    with shop.q.inline(errors="keep"):
        shop.pay.using(task_id="1").enqueue_sync("never")
    assert shop.told == [("1", "dead", "no money")]


def test_a_queue_without_hooks_looks_for_nothing() -> None:
    """No periodic task is declared."""
    shop = Shop()
    shop.q.worker()
    assert shop.q.resolve(LOOK) is None
    assert shop.q.declarations().queues() == []


@pytest.mark.parametrize("states", ["retry", [], ["dead", "gone"], 7, None])
def test_states_that_are_no_ends_are_refused(shop: Shop, states: Any) -> None:
    """They are named."""
    with pytest.raises(InvalidOption, match="expected one or several of 'completed', 'archived'"):
        shop.q.on_end("order:", states=states)(lambda ctx, end: None)


def test_what_takes_no_end_is_no_hook(shop: Shop) -> None:
    """The annotation says what arrives."""

    def nothing(ctx: Context) -> None: ...

    def unannotated(ctx, end) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    hooks: Sequence[Any] = [nothing, unannotated]
    for hook in hooks:
        with pytest.raises(InvalidOption, match=r"expected a function \(ctx, end: Ended\)"):
            shop.q.on_end(hook)
