"""What runs say of themselves: progress, and work that the next attempt goes on with."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from qcore import Context, InvalidOption, InvalidTask, Qcore, State
from qcore.adapters.memory import MemoryBroker
from qcore.domain.answers import LeaseLost, Settled
from qcore.domain.errors import BrokerUnavailable
from qcore.domain.moments import Moment
from qcore.domain.run_details import MAX_MESSAGE, DetailsSaved, DetailsUpdate
from qcore.domain.task import Claim, Verdict
from qcore.tasks import Progress
from qcore.testing import RecordedRun, a_context, a_task
from qcore.testing.builders import NOW, a_claim, a_demand
from tests.app import process_handlers
from tests.app.kit import Lab, turn


class Writing(MemoryBroker):
    """A broker that remembers what it was to keep, and may be unwell."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[float]] = []
        self.fails = False
        self.hangs = False
        self.away: asyncio.Event | None = None
        """Set when calls fail that wait for the broker until then."""
        self.order_of: list[str] = []

    async def save_details(
        self, notes: Sequence[DetailsUpdate]
    ) -> Sequence[DetailsSaved | LeaseLost]:
        self.order_of.append("note")
        if self.fails:
            raise BrokerUnavailable("away")
        if self.away is not None:
            await self.away.wait()
            raise BrokerUnavailable("away")
        if self.hangs:
            await asyncio.Event().wait()
        self.calls.append([n.progress.fraction for n in notes if n.progress is not None])
        return await super().save_details(notes)

    async def settle(
        self, verdicts: Sequence[Verdict], *, now: Moment
    ) -> Sequence[Settled | LeaseLost]:
        self.order_of.append("settle")
        return await super().settle(verdicts, now=now)


@pytest.fixture
def broker() -> Writing:
    """Return a broker that remembers."""
    return Writing()


@pytest.fixture
def lab(broker: Writing) -> Lab:
    """Return a queue in memory, whose time passes by hand."""
    return Lab(broker)


class TestProgress:
    async def test_it_is_seen_while_the_task_runs(self, lab: Lab) -> None:
        """The first word of a run is written at once, with its moment and its message."""
        go = asyncio.Event()

        @lab.task
        async def resize(ctx: Context) -> None:
            ctx.progress(0.4, "resizing")
            await go.wait()

        handle = await resize.enqueue()
        assert await handle.progress() is None
        async with lab.working():
            await turn()
            assert await handle.progress() == Progress(NOW, 0.4, "resizing")
            go.set()
            await lab.signals.finished.next()

    async def test_the_newest_is_written_twice_a_second_at_most(
        self, lab: Lab, broker: Writing
    ) -> None:
        """Whatever many runs say within half a second goes in one call, the newest of each."""
        go = asyncio.Event()

        @lab.task
        async def count(ctx: Context, base: float) -> None:
            for step in range(100):
                ctx.progress(base + step / 1000)
                await asyncio.sleep(0)
            await go.wait()

        for base in (0.1, 0.2, 0.3):
            await count.enqueue(base)
        async with lab.working():
            await turn(300)
            assert len(broker.calls) == 1
            lab.manual.advance(0.49)
            await turn()
            assert len(broker.calls) == 1
            lab.manual.advance(0.01)
            await turn()
            assert sorted(broker.calls[1]) == pytest.approx([0.199, 0.299, 0.399])
            lab.manual.advance(5)
            await turn()
            assert len(broker.calls) == 2, "there was nothing new"
            go.set()
            await turn()

    async def test_the_last_word_is_written_before_the_verdict(
        self, lab: Lab, broker: Writing
    ) -> None:
        """What waits as a run ends goes before: after it the lease would be lost."""

        @lab.task(retention=60)
        async def resize(ctx: Context) -> None:
            ctx.progress(0.5)
            await turn()
            ctx.progress(1, "done")

        handle = await resize.enqueue()
        await lab.run_due()
        assert await handle.progress() == Progress(NOW, 1.0, "done")
        assert broker.order_of == ["note", "note", "settle"]

    async def test_threads_and_processes_say_it_too(self) -> None:
        """A plain call, wherever the handler runs."""
        lab = process_handlers.register(Lab())

        @lab.task(retention=60)
        def threaded(ctx: Context) -> int:
            ctx.progress(0.25, "in a thread")
            return threading.get_ident()

        handle = await threaded.enqueue()
        other = await lab.client.enqueue(a_task(name="resume", retention=60))
        await lab.worker(burst=True, process_pool=1).run()
        assert await handle.progress() == Progress(NOW, 0.25, "in a thread")
        assert await other.progress() == Progress(NOW, 0.5, "in a process")

    async def test_nonsense_is_refused_in_a_process_at_once(self) -> None:
        """It is the handler's error there as well."""
        lab = process_handlers.register(Lab())
        handle = await lab.client.enqueue(a_task(name="say_nonsense"))
        await lab.worker(burst=True, process_pool=1).run()
        [fault] = await handle.errors()
        assert fault.error.startswith("InvalidTask: progress is 2")
        assert "say_nonsense" in (fault.traceback or "")

    async def test_it_outlives_a_worker_that_is_lost(self, lab: Lab, broker: Writing) -> None:
        """What a run had said is there when its lease has run out, and the next one has begun."""
        [claim] = await _claimed(lab, broker)
        await broker.save_details([DetailsUpdate(claim.lease, Progress(NOW, 0.7))])
        await broker.sweep(["default"], 10, now=NOW + 100)
        assert await lab.client.handle("default", claim.task.id).progress() == Progress(NOW, 0.7)

    @pytest.mark.parametrize(
        ("fraction", "message"), [(1.5, ""), (float("nan"), ""), ("half", ""), (0.5, "x" * 501)]
    )
    async def test_nonsense_is_refused_at_once(
        self, lab: Lab, fraction: float, message: str
    ) -> None:
        """The handler itself gets the error, where it made it."""
        refused: list[str] = []

        @lab.task
        async def resize(ctx: Context) -> None:
            with pytest.raises(InvalidTask, match="progress") as error:
                ctx.progress(fraction, message)
            refused.append(str(error.value))

        await resize.enqueue()
        await lab.run_due()
        assert len(refused) == 1

    async def test_a_message_is_text_that_any_store_holds(self, lab: Lab) -> None:
        """A lone surrogate, as in a file name, is escaped; a longest message fits."""
        run = RecordedRun()
        ctx = a_context(storage=run)
        ctx.progress(0, "a\udcff")
        ctx.progress(0, "x" * MAX_MESSAGE)
        assert run.progress_updates[0].message == "a\\udcff"

    async def test_trouble_with_it_fails_no_task(self, lab: Lab, broker: Writing) -> None:
        """A broker that keeps no notes loses them, and instruments are told; the task succeeds."""
        broker.fails = True

        @lab.task(retention=60)
        async def resize(ctx: Context) -> None:
            ctx.progress(0.5)

        handle = await resize.enqueue()
        await lab.run_due()
        assert await handle.status() is State.COMPLETED
        assert await handle.progress() is None

    async def test_a_verdict_waits_a_second_at_most(self, broker: Writing) -> None:
        """A call that hangs delays what a run has come to, and no more."""
        lab = Lab(broker, autojump=True)
        broker.hangs = True

        @lab.task(retention=60)
        async def resize(ctx: Context) -> None:
            ctx.progress(0.5)
            await turn()
            # this is in line behind what is being written, and the verdict behind this
            ctx.progress(0.6)

        async with lab.working():
            handle = await resize.enqueue()
            await handle.result()
        assert lab.clock.now() <= NOW + 2

    async def test_it_is_tried_again_when_the_broker_is_back(
        self, lab: Lab, broker: Writing
    ) -> None:
        """What could not be written waits on, unless something newer does."""
        go = asyncio.Event()
        broker.fails = True

        @lab.task(retention=60)
        async def resize(ctx: Context) -> None:
            ctx.progress(0.5)
            await go.wait()

        handle = await resize.enqueue()
        async with lab.working():
            assert (await lab.signals.broker_failed.next()).call == "save_details"
            assert await handle.progress() is None
            broker.fails = False
            lab.manual.advance(1)
            await turn()
            assert await handle.progress() == Progress(NOW, 0.5)
            go.set()
            await turn()

    async def test_what_could_not_be_written_gives_way_to_what_is_newer(
        self, lab: Lab, broker: Writing
    ) -> None:
        """Said while a call was on its way that failed, it is what is written next."""
        say, go = asyncio.Event(), asyncio.Event()
        broker.away = asyncio.Event()

        @lab.task(retention=60)
        async def resize(ctx: Context) -> None:
            ctx.progress(0.5)
            await say.wait()
            ctx.progress(0.7)
            await go.wait()

        handle = await resize.enqueue()
        async with lab.working():
            await turn()
            say.set()
            await turn()
            broker.away.set()
            assert (await lab.signals.broker_failed.next()).call == "save_details"
            broker.away = None
            lab.manual.advance(1)
            await turn()
            assert await handle.progress() == Progress(NOW, 0.7)
            go.set()
            await turn()

    async def test_a_run_that_has_lost_its_lease_is_cancelled(
        self, lab: Lab, broker: Writing
    ) -> None:
        """Whoever is told so by a note ends, as with a lease that could not be renewed."""
        ended = asyncio.Event()
        go = asyncio.Event()

        @lab.task
        async def resize(ctx: Context) -> None:
            if ctx.attempt > 1:
                return
            await go.wait()
            ctx.progress(0.5)
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        await resize.enqueue()
        async with lab.working(sweep_every=1_000_000):
            await turn()
            await broker.sweep(["default"], 10, now=NOW + 1_000)
            go.set()
            await ended.wait()
            await lab.signals.lease_lost.next()


class TestSaving:
    async def test_the_next_attempt_goes_on_where_this_one_stopped(self, lab: Lab) -> None:
        """What was saved is read by the attempt after it, and by the same one."""
        seen: list[bytes | None] = []

        @lab.task(max_retry=3)
        async def add(ctx: Context) -> None:
            seen.append(await ctx.saved())
            await ctx.save(b"%d" % ctx.attempt)
            seen.append(await ctx.saved())
            if ctx.attempt < 3:
                raise ValueError

        await add.enqueue()
        while await lab.run_due():
            lab.manual.advance(1_000)
        assert seen == [None, b"1", b"1", b"2", b"2", b"3"]

    async def test_threads_and_processes_save_too(self) -> None:
        """With `save_sync` and `saved_sync`, which block."""
        lab = process_handlers.register(Lab())
        seen: list[bytes | None] = []

        @lab.task(max_retry=3)
        def add(ctx: Context) -> None:
            seen.append(ctx.saved_sync())
            ctx.save_sync(b"%d" % ctx.attempt)
            if ctx.attempt < 2:
                raise ValueError

        await add.enqueue()
        handle = await lab.client.enqueue(a_task(name="resume", retention=6000))
        await lab.worker(burst=True, process_pool=1).run()
        lab.manual.advance(1_000)
        await lab.worker(burst=True).run()
        assert seen == [None, b"1"]
        assert await handle.result() == ["None", "b'half'", "InvalidTask"]

    @pytest.mark.parametrize(("data", "why"), [("text", "bytes"), (b"12345", "at most 4")])
    async def test_what_cannot_be_kept_is_refused(self, data: bytes, why: str) -> None:
        """What is not bytes, and more of them than a payload may have."""
        lab = Lab(max_payload=4)
        refused: list[str] = []

        @lab.task
        async def work(ctx: Context) -> None:
            with pytest.raises(InvalidTask, match=why) as error:
                await ctx.save(data)
            refused.append(str(error.value))

        await work.enqueue()
        await lab.run_due()
        assert len(refused) == 1

    async def test_who_has_lost_the_lease_ends_there(self, lab: Lab, broker: Writing) -> None:
        """The run is over: it is cancelled within `save`, and settles nothing."""
        went_on: list[str] = []
        go = asyncio.Event()

        @lab.task
        async def work(ctx: Context) -> None:
            if ctx.attempt == 1:
                await go.wait()
                await ctx.save(b"1")
                went_on.append("coroutine")

        await work.enqueue()
        async with lab.working(sweep_every=1_000_000):
            await turn()
            await broker.sweep(["default"], 10, now=NOW + 1_000)
            go.set()
            await lab.signals.lease_lost.next()
            await lab.signals.settled.next()
        assert went_on == []
        assert len(lab.signals.finished.seen) == 1, "the second attempt's"

    async def test_a_thread_that_has_lost_the_lease_ends_there(
        self, lab: Lab, broker: Writing
    ) -> None:
        """`save_sync` raises what no `except Exception` catches."""
        went_on: list[str] = []
        go = threading.Event()
        began = threading.Event()

        @lab.task
        def work(ctx: Context) -> None:
            if ctx.attempt > 1:
                return
            began.set()
            go.wait(10)
            try:
                ctx.save_sync(b"1")
            except Exception:  # noqa: BLE001
                went_on.append("caught")
            went_on.append("thread")

        await work.enqueue()
        async with lab.working(sweep_every=1_000_000):
            await asyncio.to_thread(began.wait, 10)
            await broker.sweep(["default"], 10, now=NOW + 1_000)
            go.set()
            await lab.signals.lease_lost.next()
            await lab.signals.settled.next()
        assert went_on == []
        assert len(lab.signals.finished.seen) == 1, "the second attempt's"

    async def test_a_broker_that_is_unwell_is_the_handlers_to_know(
        self, lab: Lab, broker: Writing
    ) -> None:
        """What could not be saved is not saved: `save` raises."""
        broker.fails = True

        @lab.task
        async def work(ctx: Context) -> None:
            await ctx.save(b"1")

        handle = await work.enqueue()
        await lab.run_due()
        [fault] = await handle.errors()
        assert fault.error == "BrokerUnavailable: away"


class TestDirectCalls:
    async def test_a_context_for_tests_keeps_what_is_said(self) -> None:
        """A handler that is called as a function says and saves as in a worker."""
        run = RecordedRun(saved=b"3")
        ctx = a_context(storage=run)
        assert await ctx.saved() == b"3"
        ctx.progress(0.5, "half")
        await ctx.save(b"4")
        ctx.save_sync(ctx.saved_sync() or b"")
        assert run.saved_work == b"4"
        assert run.progress_updates == [Progress(NOW, 0.5, "half")]
        assert await a_context().saved() is None

    async def test_a_context_made_by_hand_says_what_it_lacks(self) -> None:
        """Nobody keeps what such a run says."""
        with pytest.raises(InvalidOption, match="a_context"):
            Context(a_claim()).progress(0.5)


async def _claimed(lab: Qcore, broker: Writing) -> Sequence[Claim]:
    await lab.client.enqueue(a_task())
    return await broker.claim(a_demand(), now=NOW, until=NOW + 30)
