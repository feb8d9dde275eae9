"""What a worker says of how long its tasks have waited and run."""

from datetime import UTC, datetime, timedelta

import pytest

from qcore import Context, InvalidOption, InvalidTask, NewTask, Retry, Snooze
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.histogram import Histogram
from qcore.domain.statistics import Outcome, Resolution, Statistics, merged, totals
from qcore.ports import Capability
from qcore.testing import drain
from tests.app.kit import Lab


@pytest.fixture
def lab() -> Lab:
    """A queue in virtual time."""
    return Lab()


async def total_of(lab: Lab, queue: str | None = None) -> Statistics:
    """Return what ended in the last hour."""
    return merged(row.statistics for row in await lab.inspector.statistics(queue))


async def test_a_run_tells_how_long_it_waited_and_ran(lab: Lab) -> None:
    """From the moment at which it was due to the handler's call, and from there to its end."""

    @lab.task("slow")
    async def slow(ctx: Context) -> None:
        await lab.manual.sleep(40)

    await slow.using(delay=100).enqueue()
    await slow.enqueue()
    lab.manual.advance(103)
    async with lab.working():
        await lab.signals.started.wait(2)
        lab.manual.advance(40)
        await lab.signals.settled.wait(2)
    total = await total_of(lab)
    assert total.counts == {Outcome.SUCCEEDED: 2}
    assert total.waits == Histogram.of([3.0, 103.0])
    assert total.runs == Histogram.of([40.0, 40.0])


async def test_each_end_is_counted_by_its_outcome(lab: Lab) -> None:
    """Retries, snoozes and failures for good; the wait of a retry begins when it is due."""
    runs = 0

    @lab.task("flaky", max_retry=3)
    async def flaky(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        match runs:
            case 1:
                raise Retry(delay=50)
            case 2:
                raise Snooze(50)

    @lab.task("broken", max_retry=0)
    async def broken(ctx: Context) -> None:
        raise ValueError

    await flaky.enqueue()
    await broken.enqueue()
    await drain(lab)
    found = totals(await lab.inspector.statistics(), "name")
    assert found["flaky",].counts == {
        Outcome.RETRIED: 1,
        Outcome.SNOOZED: 1,
        Outcome.SUCCEEDED: 1,
    }
    assert found["broken",].counts == {Outcome.EXHAUSTED: 1}
    # in virtual time a task that is due is run at once
    assert found["flaky",].waits.quantile(1) == Histogram.of([0.0]).quantile(1)
    assert found["flaky",].waits.number == found["flaky",].runs.number == 3


async def test_what_was_not_run_has_no_times(lab: Lab) -> None:
    """A payload that does not fit its handler ends a task before its handler is called."""

    @lab.task("mail")
    async def mail(ctx: Context, address: str) -> None:
        raise AssertionError

    await lab.client.enqueue(NewTask("mail", id="wrong", payload=b'{"address": 7}'))
    await drain(lab)
    assert await total_of(lab) == Statistics({Outcome.REJECTED: 1})


async def test_the_inspector_tells_of_the_last_hour_by_minutes(lab: Lab) -> None:
    """Unless it is asked for more: then of as many days, or of what is between two moments."""

    @lab.task("noop")
    async def noop(ctx: Context) -> None: ...

    for _ in range(3):
        await noop.enqueue()
        await noop.using(queue="other").enqueue()
        await drain(lab)
        lab.manual.advance(2_400)
    now = datetime.fromtimestamp(lab.manual.now(), UTC)
    assert (await total_of(lab)).succeeded == 2
    assert (await total_of(lab, "other")).succeeded == 1
    ask = lab.inspector.statistics
    assert len(await ask(since=timedelta(hours=3))) == 6
    assert {row.queue for row in await ask("other", since=timedelta(hours=3))} == {"other"}
    assert len(await ask(["other", "default"], since=timedelta(hours=3))) == 6
    assert await ask([], since=timedelta(hours=3)) == []
    assert len(await ask(since=timedelta(days=2))) == 4
    assert len(await ask(since=timedelta(days=3))) == 2
    assert len(await ask(since=timedelta(hours=2.5), by="day")) == 2
    assert len(await ask(since=now - timedelta(hours=2), until=now - timedelta(hours=1))) == 4
    assert len(await ask(since=now.timestamp() - 7_200, by=Resolution.DAY)) == 2


async def test_a_span_that_makes_no_sense_is_refused(lab: Lab) -> None:
    """In one line that says what was expected."""
    now = lab.manual.now()
    ask = lab.inspector.statistics
    for wrong in (now, now + 5, timedelta(0)):
        with pytest.raises(InvalidOption, match="expected a moment before until"):
            await ask(since=wrong)
    with pytest.raises(InvalidTask, match="give it a time zone"):
        await ask(since=datetime(2026, 1, 1))  # noqa: DTZ001  (that is what is wrong)
    with pytest.raises(InvalidTask, match="until is 'now'"):
        await ask(until="now")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="expected 'minute', 'hour' or 'day'"):
        await ask(by="week")  # type: ignore[arg-type]


async def test_a_broker_may_count_nothing(lab: Lab) -> None:
    """Then the inspector says so, and workers work all the same."""

    class Plain(ForwardingBroker):
        @property
        def capabilities(self) -> frozenset[Capability]:
            return super().capabilities - {Capability.STATISTICS}

    plain = Lab(Plain(lab.broker))

    @plain.task("noop")
    async def noop(ctx: Context) -> None: ...

    await noop.enqueue()
    assert await drain(plain) == 1
    with pytest.raises(InvalidOption, match="does not count what ends"):
        await plain.inspector.statistics()
