import asyncio
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from qcore import Context, InvalidOption, Qcore, Snooze, State
from qcore.adapters.clocks import SystemClock
from qcore.adapters.memory import MemoryBroker
from qcore.testing import FaultyBroker, ManualClock, ScriptedDice, a_task, drain, drain_sync
from qcore.testing.builders import NOW
from tests.app.kit import Lab

DAY = 86_400.0


def a_queue(*, autojump: bool = False) -> Qcore:
    """Return a queue in virtual time."""
    clock = ManualClock(autojump=autojump)
    return Qcore("memory://", clock=clock, dice=lambda: 0.5, instruments=())


async def test_twenty_days_of_retries_pass_at_once() -> None:
    """A task that always fails runs 26 times over twenty days of virtual time, then is archived."""
    q = a_queue()
    moments: list[float] = []

    @q.task("mail")
    async def mail(ctx: Context) -> None:
        moments.append(q.clock.now())
        raise ValueError

    handle = await mail.enqueue()
    assert await drain(q) == 26
    assert await handle.status() is State.ARCHIVED
    assert 20 * DAY < q.clock.now() - NOW < 21 * DAY
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses == [n**4 + 15 + 0.5 * 30 * (n + 1) for n in range(25)]


async def test_everything_due_is_run_in_order() -> None:
    """Tasks of all queues, delayed ones at their moments, and those that they enqueue."""
    q = a_queue()
    diary: list[tuple[str, float]] = []

    @q.task("first", queue="a")
    async def first(ctx: Context) -> None:
        diary.append(("first", q.clock.now() - NOW))
        await second.using(delay=2.5).enqueue()

    @q.task("second", queue="b")
    def second(ctx: Context) -> None:
        diary.append(("second", q.clock.now() - NOW))

    await first.using(delay=10).enqueue()
    await second.enqueue()
    await first.using(delay=5).enqueue()
    assert await drain(q) == 5
    assert diary == [
        ("second", 0),
        ("first", 5),
        ("second", 7.5),
        ("first", 10),
        ("second", 12.5),
    ]
    assert await q.inspector.counts() == {}


async def test_without_jumps_only_what_is_due_is_run() -> None:
    """With `jump=False` the clock stands still."""
    q = a_queue()

    @q.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    later = await mail.using(delay=0.001).enqueue()
    assert await drain(q, jump=False) == 1
    assert q.clock.now() == NOW
    assert await later.status() is State.SCHEDULED


async def test_until_is_as_far_as_it_goes() -> None:
    """Nothing after `until` is run, and the clock does not pass it."""
    q = a_queue()

    @q.task("mail")
    async def mail(ctx: Context) -> None: ...

    for delay in (10, 20, 30):
        await mail.using(delay=delay).enqueue()
    assert await drain(q, until=NOW + 20) == 2
    assert q.clock.now() == NOW + 20
    assert await drain(q) == 1


async def test_nothing_is_nothing() -> None:
    """An empty queue takes no run."""
    assert await drain(a_queue()) == 0


async def test_a_clock_of_the_world_cannot_be_drained() -> None:
    """Without a `ManualClock` there is no jumping; what is due can be run all the same."""
    q = Qcore("memory://", clock=SystemClock(), instruments=())

    @q.task("mail")
    async def mail(ctx: Context) -> None: ...

    await mail.enqueue()
    with pytest.raises(InvalidOption, match="ManualClock"):
        await drain(q)
    assert await drain(q, jump=False) == 1


async def test_what_never_ends_is_an_error() -> None:
    """A task that puts itself off for ever ends the test, not the day."""
    q = a_queue()

    @q.task("mail")
    async def mail(ctx: Context) -> None:
        raise Snooze(1)

    await mail.enqueue()
    with pytest.raises(AssertionError, match="50 runs"):
        await drain(q, most=50)


async def test_what_enqueues_itself_for_ever_is_an_error_too() -> None:
    """Also where it is due at once."""
    q = a_queue()

    @q.task("mail")
    async def mail(ctx: Context) -> None:
        await mail.enqueue()

    await mail.enqueue()
    with pytest.raises(AssertionError, match="endless"):
        await asyncio.wait_for(drain(q, most=50), 30)


async def test_a_task_without_a_handler_is_an_error() -> None:
    """A forgotten handler is named."""
    q = a_queue()
    await q.client.enqueue(a_task(name="forgotten"))
    with pytest.raises(AssertionError, match="'forgotten'"):
        await drain(q)


async def test_a_clock_that_jumps_by_itself_can_be_drained() -> None:
    """With autojump, what a handler waits for passes as well, threads included."""
    q = a_queue(autojump=True)

    @q.task("slow", retention=600)
    async def slow(ctx: Context) -> float:
        await q.clock.sleep_until(NOW + 100)
        return q.clock.now()

    handle = await slow.enqueue()
    assert await drain(q) == 1
    assert await handle.result() == NOW + 100


@pytest.mark.parametrize("jumps", ["in a block", "by itself", "in two blocks"])
async def test_a_drain_inside_of_an_autojump_jumps_once_at_a_time(jumps: str) -> None:
    """Whoever a jump has woken runs before the next: a timeout of a second ends at a second."""
    clock = ManualClock(autojump=jumps == "by itself")
    q = Qcore("memory://", clock=clock)
    ended: dict[str, float] = {}

    @q.task(timeout=1, max_retry=0)
    async def slow(ctx: Context) -> None:
        try:
            await clock.sleep_until(clock.now() + 100)
        finally:
            ended["slow"] = clock.now() - start

    @q.task(delay=5)
    async def later(ctx: Context) -> None:
        ended["later"] = clock.now() - start

    start = clock.now()
    await slow.enqueue()
    await later.enqueue()
    with ExitStack() as stack:
        for _ in range({"in a block": 1, "by itself": 0, "in two blocks": 2}[jumps]):
            stack.enter_context(clock.autojump())
        await drain(q)
    assert ended == {"slow": 1, "later": 5}


async def test_handlers_in_threads_are_drained() -> None:
    """Plain functions run in their threads, while the clock stands still."""
    q = a_queue()
    seen: list[float] = []

    @q.task("mail")
    def mail(ctx: Context) -> None:
        seen.append(q.clock.now())
        if ctx.attempt < 3:
            raise ValueError

    await mail.enqueue()
    assert await drain(q) == 3
    assert seen == [NOW, NOW + 30, NOW + 30 + 46]


def test_a_test_without_a_loop_drains_too() -> None:
    """`drain_sync` is the same for plain tests."""
    q = a_queue()

    @q.task("mail", max_retry=2)
    async def mail(ctx: Context) -> None:
        raise ValueError

    mail.enqueue_sync()
    assert drain_sync(q) == 3


@pytest.mark.parametrize("verb", ["claim", "settle", "sweep", "next_due"])
async def test_a_broker_that_fails_for_a_while_is_waited_for(verb: Any) -> None:
    """The worker backs off in virtual time, and the drain goes on."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)
    ran: list[str] = []

    @lab.task("mail")
    async def mail(ctx: Context) -> None:
        ran.append(ctx.id)

    await mail.enqueue()
    broker.fail(verb, times=3)
    assert await drain(lab) == 1
    assert len(ran) == 1


async def test_dice_are_rolled_for_retries_alone() -> None:
    """What a test scripts is what its retries get, in order, and nobody else rolls."""
    began = NOW
    runs: list[float] = []
    lab = Lab(dice=ScriptedDice(0.5, 0.25))

    @lab.task("mail", max_retry=2)
    async def mail(ctx: Context) -> None:
        runs.append(lab.clock.now() - began)
        raise ValueError("no")

    await mail.enqueue()
    assert await drain(lab) == 3
    assert runs == [0, 30, 30 + 31]


async def test_dice_that_run_out_end_no_worker() -> None:
    """The task goes on with a fair roll, and the log says what broke."""
    lab = Lab(dice=ScriptedDice())

    @lab.task("mail", max_retry=1)
    async def mail(ctx: Context) -> None:
        raise ValueError("no")

    handle = await mail.enqueue()
    assert await drain(lab) == 2
    assert await handle.status() is State.ARCHIVED


async def test_what_another_worker_has_put_back_is_run() -> None:
    """And with an end it is left there, as a test of a rolling deployment wants to see it."""
    old = Lab()
    new = Lab(old.broker, clock=old.clock)

    @old.task("mail")
    async def mail(ctx: Context, to: int) -> None: ...

    @new.task("mail", retention=60)
    async def newer(ctx: Context, to: int, cc: int) -> None: ...

    handle = await newer.enqueue(1, 2)
    with pytest.raises(AssertionError, match="no handler is registered for 'mail', or it does not"):
        await drain(old)
    await drain(old, until=old.clock.now() + 60)
    assert await handle.status() is State.SCHEDULED
    assert await drain(new) == 1
    assert await handle.status() is State.COMPLETED
