"""What a broker refuses for its content: it is that task's trouble, and no outage of the others."""

from collections.abc import Sequence

import pytest

from qcore import Context, InvalidOption, NoResult, State
from qcore.adapters.memory import MemoryBroker
from qcore.adapters.wrappers import ForwardingBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.events import BrokerFailed
from qcore.domain.moments import Moment
from qcore.domain.run_details import DetailsSaved, DetailsUpdate
from qcore.domain.task import Lease, Verdict
from qcore.domain.transitions import Rejected, Succeeded
from qcore.errors import BrokerRefused, BrokerUnusable, ResultNotKept
from qcore.testing import FaultyBroker
from qcore.testing.builders import NOW
from tests.app.kit import Lab, stored

LARGE = 1_000
"""Bytes of a result or of saved work that the broker does not take."""


class Picky(ForwardingBroker):
    """A broker that raises `error` for a batch in which something is too large for it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(MemoryBroker())
        self.error = error
        self.refuses_every_verdict = False
        self.is_away = False
        self.calls = 0

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        self.calls += 1
        for verdict in verdicts:
            match verdict.outcome:
                case Succeeded(result, _, then):
                    is_large = any(len(each) > LARGE for each in (result or b"", *_payloads(then)))
                case Rejected():
                    is_large = self.refuses_every_verdict
                case _:
                    is_large = False
            if is_large or self.is_away:
                raise self.error
        return await super().settle(verdicts, now=now)

    async def save_details(
        self, updates: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        if any(each.progress is not None and each.progress.message == "odd" for each in updates):
            raise self.error
        return await super().save_details(updates)


def _payloads(then: Sequence[object]) -> list[bytes]:
    return [getattr(task, "payload", b"") for task in then]


ERRORS = [
    BrokerRefused("too large"),
    ValueError("string or blob too big"),
    OverflowError("BLOB longer than INT_MAX bytes"),
    # of a driver, whose class says nothing
    RuntimeError("document too large"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", [0, 3, 6])
async def test_a_result_that_the_broker_refuses_is_its_tasks_trouble_alone(
    error: Exception, place: int
) -> None:
    """It is dead with the reason and the size; all that ended with it is settled."""
    lab = Lab(Picky(error))

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, size: int) -> str:
        return "x" * size

    handles = [await mail.enqueue(2 * LARGE if n == place else 1) for n in range(7)]
    large = handles.pop(place)
    async with lab.working():
        assert [await handle.result(60) for handle in handles] == ["x"] * 6
        with pytest.raises(NoResult):
            await large.result(60)
    dead = await stored(large)
    assert (dead.state, dead.attempts, dead.crashes) == (State.DEAD, 1, 0)
    assert dead.error is not None
    assert dead.error.startswith("its result cannot be kept: its 2,002 bytes are refused: ")
    assert str(error) in dead.error


async def test_what_ends_later_does_not_wait_behind_a_refused_verdict() -> None:
    """Not even where the error could be an outage: the next verdict shows that it is none."""
    lab = Lab(Picky(RuntimeError("odd")), autojump=True)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, size: int) -> str:
        return "x" * size

    async with lab.working():
        large = await mail.enqueue(2 * LARGE)
        await lab.signals.broker_failed.wait(2)
        assert await (await mail.enqueue(1)).result(60) == "x"
        with pytest.raises(NoResult, match="its result cannot be kept"):
            await large.result(60)


async def test_an_outage_by_an_unknown_error_makes_nobody_dead() -> None:
    """Where nothing goes in, an odd error is an outage; it costs few calls, however many wait."""
    broker = Picky(RuntimeError("odd"))
    lab = Lab(broker, autojump=True)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> str:
        return "x"

    broker.is_away = True
    handles = [await mail.enqueue() for _ in range(100)]
    async with lab.working():
        await lab.signals.broker_failed.wait(3)
        assert broker.calls <= 3 * 20
        broker.is_away = False
        assert [await handle.result(60) for handle in handles] == ["x"] * 100


async def test_a_follow_up_that_the_broker_refuses_is_its_tasks_trouble_alone() -> None:
    """What it asked for cannot be enqueued: that it succeeded may not be all that is left of it."""
    lab = Lab(Picky(BrokerRefused("too large")))

    @lab.task("later")
    async def later(ctx: Context, text: str) -> None: ...

    @lab.task("mail")
    async def mail(ctx: Context) -> None:
        ctx.then(later.call("x" * 2 * LARGE))

    handle = await mail.enqueue()
    async with lab.working():
        await lab.signals.settled.next()
    dead = await stored(handle)
    assert dead.error == "its follow-up tasks cannot be kept: too large"
    assert await lab.inspector.totals() == {State.DEAD: 1}


async def test_a_small_result_is_not_blamed_for_its_follow_up() -> None:
    """Whoever waits for the result would take the work for done, as where a result is too large."""
    lab = Lab(Picky(BrokerRefused("too large")))

    @lab.task("later")
    async def later(ctx: Context, text: str) -> None: ...

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> int:
        ctx.then(later.call("x" * 2 * LARGE))
        return 1

    handle = await mail.enqueue()
    async with lab.working():
        with pytest.raises(NoResult) as told:
            await handle.result(60)
    assert not isinstance(told.value, ResultNotKept)
    assert (await stored(handle)).error == "its follow-up tasks cannot be kept: too large"


async def test_a_task_is_dead_even_where_every_verdict_on_it_is_refused() -> None:
    """Its verdict is given up, its lease runs out, and it burns crashes, of which it has three."""
    broker = Picky(BrokerRefused("too large"))
    broker.refuses_every_verdict = True
    lab = Lab(broker, autojump=True)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> str:
        return "x" * 2 * LARGE

    handle = await mail.enqueue()
    async with lab.working(lease=10):
        with pytest.raises(NoResult, match="lease ran out"):
            await handle.result(200)
    assert (await stored(handle)).crashes == 3


async def test_a_queue_that_cannot_be_served_does_not_keep_the_verdicts_of_others() -> None:
    """Its own verdict waits until somebody has acted, and is written then."""

    class Spoilt(ForwardingBroker):
        bad = "bad"

        async def settle(
            self, verdicts: Sequence[Verdict], *, now: Moment
        ) -> Sequence[Settled | LeaseLost]:
            if any(verdict.lease.queue == self.bad for verdict in verdicts):
                raise BrokerUnusable("a key of ours holds foreign data")
            return await super().settle(verdicts, now=now)

    broker = Spoilt(MemoryBroker())
    lab = Lab(broker, autojump=True)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> int:
        return 1

    bad = await mail.using(queue="bad").enqueue()
    good = [await mail.using(queue=queue).enqueue() for queue in ("one", "two", "two")]
    async with lab.working(queues=["bad", "one", "two"]):
        assert [await handle.result(60) for handle in good] == [1] * 3
        broker.bad = "none"
        assert await bad.result(60) == 1
    assert (await stored(bad)).attempts == 1


async def test_a_follow_up_for_a_queue_that_cannot_be_served_waits_alone() -> None:
    """Its verdict is written once somebody has acted; others of its own queue do not wait."""

    class Spoilt(ForwardingBroker):
        bad = "bad"

        async def settle(
            self, verdicts: Sequence[Verdict], *, now: Moment
        ) -> Sequence[Settled | LeaseLost]:
            for verdict in verdicts:
                match verdict.outcome:
                    case Succeeded(then=then) if any(task.queue == self.bad for task in then):
                        raise BrokerUnusable("a newer qcore has written it")
                    case _:
                        pass
            return await super().settle(verdicts, now=now)

    broker = Spoilt(MemoryBroker())
    lab = Lab(broker, autojump=True)

    @lab.task("later", queue="bad")
    async def later(ctx: Context) -> None: ...

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, number: int) -> int:
        if number == 2:
            ctx.then(later.call())
        return number

    handles = [await mail.enqueue(number) for number in range(5)]
    async with lab.working(queues=["default"]):
        for number in (0, 1, 3, 4):
            assert await handles[number].result(60) == number
        broker.bad = "none"
        assert await handles[2].result(60) == 2
    assert (await lab.inspector.counts())["bad"] == {State.PENDING: 1}


@pytest.mark.parametrize("error", ERRORS[:2], ids=lambda error: type(error).__name__)
async def test_progress_that_the_broker_refuses_does_not_keep_that_of_others(
    error: Exception,
) -> None:
    """It is left out, and instruments are told; the runs go on."""
    lab = Lab(Picky(error), autojump=True)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context, message: str) -> None:
        ctx.progress(0.5, message)

    handles = [await mail.enqueue(text) for text in ("fine", "odd", "good")]
    async with lab.working():
        await lab.signals.settled.wait(3)
    progress = [await handle.progress() for handle in handles]
    assert [each and each.message for each in progress] == ["fine", None, "good"]
    assert len([e for e in lab.signals.events if isinstance(e, BrokerFailed)]) == 1


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("error", [ValueError("closed file"), TypeError("odd")])
async def test_an_error_about_a_value_that_does_not_come_again_costs_no_success(
    error: Exception, times: int
) -> None:
    """As that of a reply which was cut off: a verdict that failed alone is tried again."""
    broker = FaultyBroker(MemoryBroker())
    lab = Lab(broker)

    @lab.task("mail", retention=60)
    async def mail(ctx: Context) -> int:
        return 1

    broker.fail("settle", times=times, error=error)
    handle = await mail.enqueue()
    async with lab.working():
        assert await handle.result(60) == 1


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_lease_that_the_broker_does_not_renew_costs_the_others_nothing(
    error: Exception,
) -> None:
    """They are renewed without it, and instruments are told why it is not."""
    renewed: set[str] = set()

    class Odd(ForwardingBroker):
        async def extend(
            self, leases: Sequence[Lease], *, until: Moment
        ) -> Sequence[Lease | LeaseLost]:
            if any(lease.id == "odd" for lease in leases):
                raise error
            renewed.update(lease.id for lease in leases)
            return await super().extend(leases, until=until)

    lab = Lab(Odd(MemoryBroker()), autojump=True)

    @lab.task("mail", retention=600)
    async def mail(ctx: Context) -> None:
        await lab.clock.sleep_until(NOW + 300)

    await mail.using(task_id="odd").enqueue()
    fine = [await mail.enqueue() for _ in range(5)]
    async with lab.working(lease=30):
        await lab.signals.broker_failed.next()
        for handle in fine:
            await handle.result(600)
    assert renewed == {handle.id for handle in fine}


class TestLargestResult:
    """`max_result` is for results what `max_payload` is for payloads."""

    async def test_a_result_may_be_as_large_as_the_limit(self) -> None:
        """One byte more is refused with both sizes, before the broker has it."""
        lab = Lab(max_result=100)

        @lab.task("mail", retention=60)
        async def mail(ctx: Context, size: int) -> str:
            return "x" * size

        fits, large = await mail.enqueue(98), await mail.enqueue(99)
        await lab.run_due()
        assert await fits.result() == "x" * 98
        assert (await stored(large)).error == (
            "its result cannot be kept: it is 101 bytes: expected at most 100; store it elsewhere "
            "and return where it is, or raise max_result"
        )

    async def test_a_result_that_nobody_keeps_may_be_of_any_size(self) -> None:
        """Without retention it is not even encoded."""
        lab = Lab(max_result=10)

        @lab.task("mail")
        async def mail(ctx: Context) -> str:
            return "x" * 100

        handle = await mail.enqueue()
        await lab.run_due()
        assert await handle.status() is State.GONE

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "1 MiB", None, True])
    @pytest.mark.parametrize("name", ["max_result", "max_payload"])
    def test_a_limit_is_a_number_of_bytes(self, name: str, wrong: object) -> None:
        """A text or a fraction would fail where the first task is, or let everything pass."""
        with pytest.raises(InvalidOption, match=rf"{name} is .*: expected a whole number of bytes"):
            Lab(**{name: wrong})  # type: ignore[arg-type]
