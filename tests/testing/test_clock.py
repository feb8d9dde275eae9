import asyncio
import math
import socket
import threading
from collections.abc import Coroutine

import pytest
from structlog.testing import capture_logs

from qcore.domain.errors import InvalidOption
from qcore.ports import Clock
from qcore.testing.builders import NOW
from qcore.testing.clock import ManualClock

PATIENCE = 30.0
"""Seconds after which a thread that should have done something is taken to be stuck."""
DAY = 86_400.0


async def turn() -> None:
    """Let the loop turn until what was woken has run."""
    for _ in range(5):
        await asyncio.sleep(0)


def step(coroutine: Coroutine[object, None, None]) -> bool:
    """Step a coroutine once; say whether it has ended without suspending."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    return False


class Diary:
    """Sleepers write down who woke when."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.pages: list[tuple[str, float]] = []

    def write(self, name: str) -> None:
        self.pages.append((name, self.clock.now() - NOW))

    async def sleep(self, name: str, *seconds: float) -> None:
        for rest in seconds:
            await self.clock.sleep_until(self.clock.now() + rest)
            self.write(name)


class TestByHand:
    def test_time_stands_still(self) -> None:
        """The clock starts where it is told, and moves only when it is moved."""
        clock = ManualClock(5.0)
        assert clock.now() == clock.now() == 5.0
        clock.advance(2.5)
        assert clock.now() == 7.5
        clock.advance_to(10.0)
        assert clock.now() == 10.0

    def test_time_does_not_go_back(self) -> None:
        """To advance to a moment that has passed changes nothing."""
        clock = ManualClock()
        clock.advance_to(NOW - 1)
        assert clock.now() == NOW

    @pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
    def test_a_negative_or_endless_time_is_refused(self, seconds: float) -> None:
        """What is no time to pass is an error that names it."""
        clock = ManualClock()
        with pytest.raises(InvalidOption, match=str(seconds)):
            clock.advance(seconds)
        assert clock.now() == NOW

    @pytest.mark.parametrize("moment", [math.inf, math.nan])
    def test_a_moment_that_never_comes_is_refused(self, moment: float) -> None:
        """The clock cannot be moved to the end of time."""
        with pytest.raises(InvalidOption, match=str(moment)):
            ManualClock().advance_to(moment)

    @pytest.mark.parametrize("moment", [NOW, NOW - 1, math.nan])
    async def test_a_moment_that_has_passed_is_not_waited_for(self, moment: float) -> None:
        """Sleeping until now or the past does not even suspend."""
        clock = ManualClock()

        async def sleep() -> bool:
            return step(clock.sleep_until(moment))

        assert await sleep()

    async def test_a_sleeper_wakes_at_its_moment_and_not_before(self) -> None:
        """A sleeper of ten seconds sleeps through nine and wakes at ten."""
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await turn()
        clock.advance(9)
        await turn()
        assert not sleeper.done()
        clock.advance(1)
        await sleeper

    async def test_sleepers_wake_in_the_order_of_their_moments(self) -> None:
        """However they went to sleep, the earlier wakes first; of two at one moment, the first."""
        clock = ManualClock()
        diary = Diary(clock)
        naps = {"c": 30, "a": 10, "b1": 20, "b2": 20}
        sleepers = [asyncio.create_task(diary.sleep(name, nap)) for name, nap in naps.items()]
        await turn()
        clock.advance(60)
        await asyncio.gather(*sleepers)
        assert [name for name, _ in diary.pages] == ["a", "b1", "b2", "c"]

    async def test_a_sleeper_that_was_cancelled_is_not_waited_for(self) -> None:
        """Who no longer sleeps is forgotten."""
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await turn()
        assert clock.next_moment() == NOW + 10
        sleeper.cancel()
        await turn()
        assert clock.next_moment() is None
        clock.advance(10)

    def test_a_sleeper_in_another_thread_is_woken(self) -> None:
        """A loop of another thread sleeps on the same clock."""
        clock = ManualClock()
        asleep = threading.Event()

        async def sleep() -> None:
            asyncio.get_running_loop().call_soon(asleep.set)
            await clock.sleep_until(NOW + 10)

        # a loop that debugs refuses what was not meant for other threads
        thread = threading.Thread(
            target=asyncio.run, args=(sleep(),), kwargs={"debug": True}, daemon=True
        )
        thread.start()
        assert asleep.wait(PATIENCE)
        clock.advance(10)
        thread.join(PATIENCE)
        assert not thread.is_alive()

    def test_a_loop_that_was_closed_is_nobody_to_wake(self) -> None:
        """A sleeper whose loop has gone does not keep time from passing."""
        clock = ManualClock()
        loop = asyncio.new_event_loop()
        sleeper = loop.create_task(clock.sleep_until(NOW + 10))
        loop.run_until_complete(turn())
        loop.close()
        clock.advance(10)
        assert clock.now() == NOW + 10
        sleeper.get_coro().close()
        # it would complain of having been destroyed while it was pending
        sleeper._log_destroy_pending = False  # noqa: SLF001  (asyncio has no public switch)


class TestEvery:
    def test_each_interval_has_its_call_at_its_own_moment(self) -> None:
        """Thirty-five seconds hold three calls of every ten, and each sees its own moment."""
        clock = ManualClock()
        diary = Diary(clock)
        clock.every(10, lambda: diary.write("tick"))
        clock.advance(35)
        assert diary.pages == [("tick", 10), ("tick", 20), ("tick", 30)]
        assert clock.now() == NOW + 35

    def test_intervals_do_not_drift(self) -> None:
        """The ten-thousandth call of every tenth of a second is at a thousand seconds."""
        clock = ManualClock(0.0)
        moments: list[float] = []
        clock.every(0.1, lambda: moments.append(clock.now()))
        clock.advance(1000.0)
        assert len(moments) == 10_000
        assert moments[-1] == 1000.0

    async def test_calls_and_sleepers_take_turns(self) -> None:
        """A sleeper between two calls is woken between them."""
        clock = ManualClock()
        woken: list[str] = []
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 15))
        await turn()
        clock.every(10, lambda: woken.append(f"{clock.now() - NOW}: {clock.next_moment()}"))
        clock.advance(20)
        assert woken == [f"10.0: {NOW + 15}", "20.0: None"]
        await sleeper

    def test_what_was_stopped_is_not_called(self) -> None:
        """After the stop, time passes without a call, and stopping twice is stopping once."""
        clock = ManualClock()
        calls: list[float] = []
        stop = clock.every(10, lambda: calls.append(clock.now()))
        clock.advance(10)
        stop()
        stop()
        clock.advance(100)
        assert calls == [NOW + 10]
        assert clock.next_moment() is None

    def test_a_call_may_stop_itself(self) -> None:
        """Stopping from within the call does not deadlock."""
        clock = ManualClock()
        calls: list[float] = []

        def call() -> None:
            calls.append(clock.now())
            stop()

        stop = clock.every(10, call)
        clock.advance(100)
        assert calls == [NOW + 10]

    def test_an_error_is_logged_and_the_calls_go_on(self) -> None:
        """What a call raises is logged as the system's clock logs it, and time passes."""
        clock = ManualClock()

        def call() -> None:
            raise ValueError("no luck")

        with capture_logs() as logs:
            clock.every(10, call)
            clock.advance(20)
        assert [line["log_level"] for line in logs] == ["error", "error"]
        assert clock.now() == NOW + 20

    def test_a_call_may_let_time_pass(self) -> None:
        """A call that sleeps on the blocking clock moves the time that its caller asked for."""
        clock = ManualClock()
        diary = Diary(clock)

        def call() -> None:
            clock.advance(3)
            diary.write("tick")

        clock.every(10, call)
        clock.advance(25)
        assert diary.pages == [("tick", 13), ("tick", 23)]
        assert clock.now() == NOW + 25

    def test_stopping_waits_for_a_call_in_progress(self) -> None:
        """Another thread's stop returns only when the call in progress has ended."""
        clock = ManualClock()
        entered, leave, stopped = threading.Event(), threading.Event(), threading.Event()

        def call() -> None:
            entered.set()
            leave.wait(PATIENCE)

        stop = clock.every(10, call)
        mover = threading.Thread(target=clock.advance, args=(10,), daemon=True)
        mover.start()
        assert entered.wait(PATIENCE)

        def stop_it() -> None:
            stop()
            stopped.set()

        stopper = threading.Thread(target=stop_it, daemon=True)
        stopper.start()
        assert not stopped.wait(0.05)
        leave.set()
        assert stopped.wait(PATIENCE)
        mover.join(PATIENCE)

    @pytest.mark.parametrize("seconds", [0, -1.0, math.inf, math.nan])
    def test_an_interval_that_is_none_is_refused(self, seconds: float) -> None:
        """An interval of zero would stop time for good; the error names it."""
        with pytest.raises(InvalidOption, match=str(seconds)):
            ManualClock().every(seconds, lambda: None)


class TestBlocking:
    def test_to_sleep_is_to_move_the_clock(self) -> None:
        """Code without a loop sleeps in no time, on its first step, and time has passed for all."""
        clock = ManualClock()
        calls: list[float] = []
        blocking = clock.blocking()
        blocking.every(10, lambda: calls.append(blocking.now()))
        assert step(blocking.sleep_until(NOW + 15))
        assert clock.now() == blocking.now() == NOW + 15
        assert calls == [NOW + 10]
        assert blocking.blocking().now() == NOW + 15

    def test_a_moment_that_has_passed_is_not_waited_for(self) -> None:
        """Sleeping until the past neither suspends nor moves time back."""
        clock = ManualClock()
        assert step(clock.blocking().sleep_until(NOW - 1))
        assert clock.now() == NOW


class TestAutojump:
    async def test_each_sleeper_sees_its_own_moment(self) -> None:
        """Sleepers of days wake at once, in order, and the clock stops at each one's moment."""
        clock = ManualClock(autojump=True)
        diary = Diary(clock)
        await asyncio.gather(diary.sleep("a", DAY, DAY, DAY), diary.sleep("b", 1.5 * DAY))
        assert diary.pages == [("a", DAY), ("b", 1.5 * DAY), ("a", 2 * DAY), ("a", 3 * DAY)]

    async def test_twenty_days_of_retries_take_no_time(self) -> None:
        """Twenty-five naps of twenty days in all come in sequence, the last at its moment."""
        clock = ManualClock(autojump=True)
        naps = [n**4 + 15 for n in range(25)]
        await Diary(clock).sleep("retry", *naps)
        assert clock.now() == NOW + sum(naps) > NOW + 20 * DAY

    async def test_the_clock_stands_while_anything_can_run(self) -> None:
        """A coroutine that has something to do is not interrupted by a jump."""
        clock = ManualClock(autojump=True)
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        for _ in range(1000):
            await asyncio.sleep(0)
            assert clock.now() == NOW
        await sleeper
        assert clock.now() == NOW + 10

    async def test_calls_come_at_their_moments_on_the_way(self) -> None:
        """A jump stops at the calls of `every` too."""
        clock = ManualClock(autojump=True)
        diary = Diary(clock)
        stop = clock.every(10, lambda: diary.write("tick"))
        await diary.sleep("sleeper", 25)
        stop()
        assert diary.pages == [("tick", 10), ("tick", 20), ("sleeper", 25)]

    async def test_a_clock_without_the_flag_does_not_jump(self) -> None:
        """The counterpart: by hand, an idle loop leaves the clock alone."""
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await asyncio.sleep(0.001)
        assert not sleeper.done()
        assert clock.now() == NOW
        sleeper.cancel()

    async def test_a_block_jumps_and_then_jumps_no_more(self) -> None:
        """Within `autojump()` the clock jumps; after it the loop is as it was."""
        clock = ManualClock()
        loop = asyncio.get_running_loop()
        before = loop._selector.select, loop.run_in_executor  # noqa: SLF001  (what is patched)
        with clock.autojump():
            await clock.sleep_until(NOW + 10)
        assert clock.now() == NOW + 10
        assert (loop._selector.select, loop.run_in_executor) == before  # noqa: SLF001  (what is patched)
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 20))
        await asyncio.sleep(0.001)
        assert not sleeper.done()
        sleeper.cancel()

    async def test_a_clock_that_is_closed_jumps_no_more(self) -> None:
        """Leaving the clock's own block, or `close()`, gives the loop back."""
        loop = asyncio.get_running_loop()
        before = loop._selector.select  # noqa: SLF001  (what is patched)
        with ManualClock(autojump=True) as clock:
            await clock.sleep_until(NOW + 10)
            assert loop._selector.select != before  # noqa: SLF001  (what is patched)
        assert loop._selector.select == before  # noqa: SLF001  (what is patched)

    async def test_two_clocks_may_jump_in_one_loop(self) -> None:
        """Clocks that wrap the loop one over the other can be closed in any order."""
        first, second = ManualClock(autojump=True), ManualClock(autojump=True)
        await first.sleep_until(NOW + 1)
        await second.sleep_until(NOW + 2)
        left = asyncio.create_task(first.sleep_until(NOW + 5))
        await turn()
        first.close()
        await second.sleep_until(NOW + 3)
        await asyncio.sleep(0.001)
        second.close()
        left.cancel()
        assert (first.now(), second.now()) == (NOW + 1, NOW + 3)

    async def test_other_threads_come_first(self) -> None:
        """What another thread has to say is heard before the next jump of an endless ticking."""
        clock = ManualClock(autojump=True)
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=[heard.set])

        def call() -> None:
            if clock.now() == NOW + 50:
                thread.start()
                thread.join()

        stop = clock.every(1, call)
        await heard.wait()
        stop()
        assert clock.now() == NOW + 50

    async def test_real_input_comes_first(self) -> None:
        """A socket that has something to read is read before the clock jumps."""
        clock = ManualClock(autojump=True)
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await turn()
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, arrived.set)
            # the last thing that the loop does before it has nothing to do
            loop.call_soon(theirs.send, b"!")
            await arrived.wait()
            loop.remove_reader(ours)
        assert clock.now() == NOW
        sleeper.cancel()

    async def test_endless_ticking_lets_real_timers_through(self) -> None:
        """Calls and sleepers without an end do not keep the loop from its own timers."""
        clock = ManualClock(autojump=True)
        diary = Diary(clock)
        stop = clock.every(1, lambda: diary.write("tick"))
        sleeper = asyncio.create_task(diary.sleep("sleeper", *[1.0] * 100_000))
        # more than once where the machine is so busy that the first one was due at once
        while {name for name, _ in diary.pages} != {"tick", "sleeper"}:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        stop()
        sleeper.cancel()

    async def test_time_stands_while_a_call_runs_in_a_thread(self) -> None:
        """While `to_thread` is busy, nothing jumps; when it has returned, the clock goes on."""
        clock = ManualClock(autojump=True)
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await turn()

        def work() -> float:
            threading.Event().wait(0.02)
            return clock.now()

        assert await asyncio.to_thread(work) == NOW
        await sleeper
        assert clock.now() == NOW + 10

    async def test_a_thread_may_sleep_on_the_blocking_clock(self) -> None:
        """A thread that sleeps moves the clock itself, and so wakes the loop's sleepers."""
        clock = ManualClock(autojump=True)
        diary = Diary(clock)
        sleeper = asyncio.create_task(diary.sleep("loop", 10))
        await turn()
        assert await asyncio.to_thread(step, clock.blocking().sleep_until(NOW + 10))
        await sleeper
        assert diary.pages == [("loop", 10)]

    async def test_the_threshold_waits_for_threads_of_ones_own(self) -> None:
        """A thread that answers within the threshold is heard before the clock jumps."""
        clock = ManualClock(autojump=True, threshold=PATIENCE)
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 10))
        await turn()
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        answer = threading.Timer(0.01, loop.call_soon_threadsafe, [answered.set])
        answer.start()
        await answered.wait()
        assert clock.now() == NOW
        sleeper.cancel()

    async def test_the_clock_jumps_when_the_threshold_is_over(self) -> None:
        """Silence for the threshold is what it takes."""
        clock = ManualClock(autojump=True, threshold=0.001)
        await clock.sleep_until(NOW + 10)
        assert clock.now() == NOW + 10

    async def test_who_sleeps_for_ever_is_not_jumped_to(self) -> None:
        """An endless sleep ends with a cancellation alone, and time stands."""
        clock = ManualClock(autojump=True)
        sleeper = asyncio.create_task(clock.sleep_until(math.inf))
        await asyncio.sleep(0.001)
        assert not sleeper.done()
        assert clock.now() == NOW
        sleeper.cancel()

    def test_the_clock_jumps_in_every_loop_that_uses_it(self) -> None:
        """One clock serves one loop after another."""
        clock = ManualClock(autojump=True)
        asyncio.run(clock.sleep_until(NOW + 10))
        asyncio.run(clock.sleep_until(NOW + 20))
        assert clock.now() == NOW + 20

    def test_a_loop_without_a_selector_is_refused(self) -> None:
        """With uvloop, the first sleep says what cannot be done, and what to do."""
        uvloop = pytest.importorskip("uvloop")
        clock = ManualClock(autojump=True)
        with pytest.raises(InvalidOption, match=r"a uvloop loop .* asyncio's own event loop"):
            uvloop.run(clock.sleep_until(NOW + 10))

    def test_a_loop_without_a_selector_can_be_used_by_hand(self) -> None:
        """Without the flag any loop will do."""
        uvloop = pytest.importorskip("uvloop")
        clock = ManualClock()

        async def main() -> None:
            asyncio.get_running_loop().call_soon(clock.advance, 10)
            await clock.sleep_until(NOW + 10)

        uvloop.run(main())


class TestTimeThatIsSet:
    async def test_the_time_jumps_and_the_seconds_do_not(self) -> None:
        """Who waits for a moment wakes by the new time; who waits for seconds, after them."""
        clock = ManualClock()
        diary = Diary(clock)

        async def wait(name: str, waiting: Coroutine[object, None, None]) -> None:
            await waiting
            diary.write(name)

        waits = {
            "later": clock.sleep_until(NOW + 100),
            "seconds": clock.sleep(10),
            "soon": clock.sleep_until(NOW + 50),
        }
        tasks = [asyncio.create_task(wait(name, each)) for name, each in waits.items()]
        await turn()
        clock.set_to(NOW + 60)
        assert (clock.now(), clock.monotonic()) == (NOW + 60, NOW)
        await turn()
        assert diary.pages == [("soon", 60)]
        clock.advance(10)
        await turn()
        clock.set_to(NOW)
        clock.advance(99)
        await turn()
        assert diary.pages == [("soon", 60), ("seconds", 70)]
        clock.advance_to(NOW + 100)
        await asyncio.gather(*tasks)
        assert diary.pages[-1] == ("later", 100)

    @pytest.mark.parametrize("moment", [NOW + 5, NOW - 5])
    async def test_who_waits_at_most_so_long_wakes_when_the_time_is_set(
        self, moment: float
    ) -> None:
        """What the moment was computed from may no longer hold."""
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 1_000, at_most=100))
        await turn()
        clock.set_to(moment)
        await asyncio.wait_for(sleeper, 30)

    @pytest.mark.parametrize(("moment", "at_most"), [(NOW + 9, 5.0), (NOW + 5, 9.0)])
    async def test_the_earlier_of_moment_and_seconds_counts(
        self, moment: float, at_most: float
    ) -> None:
        """Whichever it is; also for code that blocks."""
        with ManualClock(autojump=True) as clock:
            await clock.sleep_until(moment, at_most=at_most)
            assert clock.now() == NOW + 5
        blocking = ManualClock()
        assert step(blocking.blocking().sleep_until(moment, at_most=at_most))
        assert step(blocking.blocking().sleep(2))
        assert blocking.now() == blocking.monotonic() == NOW + 7

    def test_a_time_that_is_none_is_refused(self) -> None:
        """There is no such moment."""
        with pytest.raises(InvalidOption, match="cannot set to nan"):
            ManualClock().set_to(float("nan"))


def test_a_call_is_made_when_time_passes_its_moment() -> None:
    """In the order of moments, each at its own; one that is taken back, never."""
    clock = ManualClock()
    came: list[float] = []

    def come() -> None:
        came.append(clock.now() - NOW)
        if len(came) < 3:
            clock.call_at(clock.now() + 10, come)

    clock.call_at(NOW + 20, come)
    clock.call_at(NOW + 25, lambda: came.append(-1.0))()
    clock.advance(19)
    assert came == []
    clock.advance(100)
    assert came == [20, 30, 40]


class TestUpkeep:
    def test_a_while_in_which_nothing_happens_is_one_call(self) -> None:
        """For the last of its moments, as that makes up for the others; the next ones stay."""
        clock = ManualClock()
        diary = Diary(clock)
        clock.upkeep(10, lambda: diary.write("kept"))
        clock.advance(35)
        clock.advance(4)
        assert diary.pages == [("kept", 30)]
        clock.advance(1)
        assert diary.pages == [("kept", 30), ("kept", 40)]
        assert clock.now() == NOW + 40

    def test_whoever_comes_next_finds_it_done(self) -> None:
        """Before a call and before a sleeper, and each in the order of moments."""
        clock = ManualClock()
        diary = Diary(clock)
        clock.upkeep(10, lambda: diary.write("ten"))
        clock.upkeep(4, lambda: diary.write("four"))
        clock.call_at(NOW + 25, lambda: diary.write("call"))
        clock.advance(33)
        expected = [("ten", 20), ("four", 24), ("call", 25), ("ten", 30), ("four", 32)]
        assert diary.pages == expected

    def test_while_it_is_busy_each_of_its_moments_has_a_call(self) -> None:
        """Until it has nothing to do any more."""
        clock = ManualClock()
        diary = Diary(clock)
        clock.upkeep(10, lambda: diary.write("kept"), lambda: len(diary.pages) < 2)
        clock.advance(100)
        assert diary.pages == [("kept", 10), ("kept", 20), ("kept", 100)]

    def test_intervals_do_not_drift(self) -> None:
        """The ten-thousandth tenth of a second is at a thousand seconds."""
        clock = ManualClock(0.0)
        moments: list[float] = []
        clock.upkeep(0.1, lambda: moments.append(clock.now()))
        for n in range(1, 1_001):
            clock.advance_to(float(n))
        assert moments == [pytest.approx(float(n)) for n in range(1, 1_001)]

    async def test_whoever_sleeps_meanwhile_is_woken_after_it(self) -> None:
        """A sleeper between two of its moments parts them."""
        clock = ManualClock()
        kept: list[str] = []
        sleeper = asyncio.create_task(clock.sleep_until(NOW + 15))
        await turn()
        clock.upkeep(10, lambda: kept.append(f"{clock.now() - NOW}: {clock.next_moment()}"))
        clock.advance(30)
        assert kept == [f"10.0: {NOW + 15}", f"30.0: {NOW + 40}"]
        await sleeper

    async def test_with_autojump_each_moment_has_its_call(self) -> None:
        """As the clock goes to the next moment, and no further."""
        with ManualClock(autojump=True) as clock:
            diary = Diary(clock)
            stop = clock.upkeep(10, lambda: diary.write("kept"))
            await clock.sleep(35)
            stop()
        assert diary.pages == [("kept", 10), ("kept", 20), ("kept", 30)]

    def test_what_was_stopped_is_not_called(self) -> None:
        """After the stop nothing waits for it; a call may stop itself, and twice is once."""
        clock = ManualClock()
        calls: list[float] = []

        def call() -> None:
            calls.append(clock.now())
            stop()
            stop()

        stop = clock.upkeep(10, call)
        clock.advance(10)
        clock.advance(100)
        assert calls == [NOW + 10]
        assert clock.next_moment() is None

    def test_an_error_is_logged_and_the_calls_go_on(self) -> None:
        """As of `every`."""
        clock = ManualClock()

        def call() -> None:
            raise ValueError("no luck")

        with capture_logs() as logs:
            clock.upkeep(10, call)
            clock.advance(20)
            clock.advance(20)
        assert [line["log_level"] for line in logs] == ["error", "error"]

    @pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
    def test_an_interval_that_is_none_is_refused(self, seconds: float) -> None:
        """As of `every`."""
        with pytest.raises(InvalidOption, match="expected more than 0 seconds"):
            ManualClock().upkeep(seconds, lambda: None)
