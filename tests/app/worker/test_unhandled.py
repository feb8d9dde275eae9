from structlog.testing import capture_logs

from qcore import Context, State
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.testing import a_task
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored

DAY = 86_400.0


async def test_a_task_without_a_handler_is_put_back_unburned() -> None:
    """It waits a little for another worker, with its budgets whole and no error."""
    lab = Lab()
    handle = await lab.client.enqueue(a_task(name="mail", max_retry=0, max_crashes=1))
    await lab.worker(burst=True).run()
    task = await stored(handle)
    assert (task.state, task.failures, task.crashes) == (State.SCHEDULED, 0, 0)
    assert (task.error, task.unhandled_since) == (None, NOW)
    assert NOW < task.due <= NOW + 60


async def test_a_worker_that_has_the_handler_runs_it() -> None:
    """In a rolling deployment, the new worker does what the old one does not know."""
    old = Lab(autojump=True)
    new = Lab(old.broker, clock=old.clock)
    ran: list[str] = []

    @new.task("mail")
    async def mail(ctx: Context) -> None:
        ran.append(ctx.id)

    handle = await mail.enqueue()
    async with old.working():
        await old.signals.no_handler.next()
    async with new.working():
        await new.signals.settled.next()
    assert ran == [handle.id]


async def test_after_a_day_it_is_dead() -> None:
    """When for a whole day nobody had a handler, the task is dead and says why; not earlier."""
    lab = Lab()
    handle = await lab.client.enqueue(a_task(name="mail", max_retry=0, max_crashes=1))
    for seconds in (0, 60, 40_000, DAY - 1):
        lab.manual.advance_to(NOW + seconds)
        await lab.worker(burst=True).run()
        assert await handle.status() is State.SCHEDULED
    lab.manual.advance(60)
    await lab.worker(burst=True).run()
    task = await stored(handle)
    assert (task.state, task.failures, task.crashes) == (State.DEAD, 0, 0)
    assert task.error == "for a day no worker had a handler for 'mail'"


async def test_a_handler_that_comes_back_resets_the_day() -> None:
    """The day counts without a break: a run in between starts it anew."""
    lab = Lab()
    fails: list[str] = []
    handle = await lab.client.enqueue(a_task(name="mail"))
    await lab.worker(burst=True).run()
    lab.manual.advance(DAY - 1)
    other = Lab(lab.broker, clock=lab.clock)

    @other.task("mail", retry=lambda _failures, _roll: 60.0)
    async def mail(ctx: Context) -> None:
        fails.append(ctx.id)
        raise ValueError

    await other.worker(burst=True).run()
    lab.manual.advance(60)
    await lab.worker(burst=True).run()
    task = await stored(handle)
    assert fails == [handle.id]
    assert task.state is State.SCHEDULED
    assert task.unhandled_since == NOW + DAY + 59


async def test_it_is_warned_of_once_a_minute() -> None:
    """Many tasks of a name nobody knows are one warning a minute, not one each."""
    lab = Lab(autojump=True)
    with capture_logs() as logs:
        lab.instruments = (*lab.instruments, LoggingInstrument(now=lab.clock.now))
        await lab.client.enqueue_many([a_task(name="mail") for _ in range(20)])
        async with lab.working():
            while lab.clock.now() < NOW + 150:
                await lab.signals.no_handler.next()
    warnings = [log for log in logs if log["event"] == "no handler for this name"]
    assert len(warnings) == 3
    assert len(lab.signals.no_handler.seen) > 100
