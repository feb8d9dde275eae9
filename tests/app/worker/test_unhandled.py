import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from qcore import Context, State
from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.serializers import MessagePackSerializer
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


NEWER: list[tuple[dict[str, Any], str]] = [
    ({"payload": b'{"to":1,"cc":2}'}, r"mail has no argument 'cc' here: expected \(to: int\)"),
    ({"payload": b'{"recipient":1}'}, "no argument 'recipient' here"),
    ({"payload": b'{"to":1}', "content_type": "text/x"}, "content type 'text/x' is unknown here"),
]


@pytest.mark.parametrize(("options", "why"), NEWER)
async def test_what_a_newer_version_asks_for_is_left_to_it(
    options: dict[str, Any], why: str
) -> None:
    """An argument, or a format, that is not known here: put back for a day, then dead with it."""
    lab = Lab()

    @lab.task("mail")
    async def mail(ctx: Context, to: int) -> None: ...

    handle = await lab.client.enqueue(a_task(name="mail", max_retry=0, max_crashes=1, **options))
    for seconds in (0, 40_000, DAY - 1):
        lab.manual.advance_to(NOW + seconds)
        await lab.worker(burst=True).run()
        task = await stored(handle)
        assert (task.state, task.error, task.unhandled_since) == (State.SCHEDULED, None, NOW)
        assert (task.failures, task.crashes) == (0, 0)
        assert NOW + seconds < task.due <= NOW + seconds + 60
    event = await lab.signals.no_handler.next()
    assert re.search(why, str(event.unknown_format))
    lab.manual.advance(60)
    await lab.worker(burst=True).run()
    task = await stored(handle)
    assert task.state is State.DEAD
    assert re.match("for a day no worker could read it: .*" + why, str(task.error))


async def test_a_newer_worker_does_what_an_older_one_put_back() -> None:
    """In a rolling deployment with a new argument, and another serializer."""
    old = Lab(autojump=True)
    new = Lab(old.broker, clock=old.clock, serializer=MessagePackSerializer())
    ran: list[str] = []

    @old.task("mail")
    async def mail(ctx: Context, to: str) -> None: ...

    @new.task("mail")
    async def newer(ctx: Context, to: str, cc: str = "nobody") -> None:
        ran.append(cc)

    await newer.enqueue("ann", cc="bob")
    await newer.enqueue("ann")
    async with old.working():
        await old.signals.no_handler.next()
        await old.signals.settled.next()
    assert ran == []
    async with new.working():
        await new.signals.settled.next()
    assert ran == ["bob"]


@pytest.mark.parametrize(
    "payload", [b'{"to":"seven"}', b"{}", b'{"to":null}', b"[]", b'{"to":1,"cc":'], ids=str
)
async def test_what_no_version_can_be_meant_to_read_is_dead_at_once(payload: bytes) -> None:
    """A missing argument, one of another type, and what is no object of arguments.

    A type that a newer version has widened looks like any other that does not fit.
    """
    lab = Lab()

    @lab.task("mail")
    async def mail(ctx: Context, to: int) -> None: ...

    handle = await lab.client.enqueue(a_task(name="mail", payload=payload))
    await lab.worker(burst=True).run()
    assert await handle.status() is State.DEAD
