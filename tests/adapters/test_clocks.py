import asyncio
import threading
import time
from collections.abc import Coroutine

import pytest
from structlog.testing import capture_logs

from qcore.adapters import clocks
from qcore.adapters.clocks import SystemClock
from qcore.domain.errors import InvalidOption

PATIENCE = 30.0
"""Seconds after which a thread that should have done something is taken to be stuck."""

in_both_colours = pytest.mark.parametrize("colour", ["awaits", "blocks"])


class Times:
    """A `time` module that stands still until somebody sleeps, and then moves by its own steps."""

    def __init__(self, *steps: float) -> None:
        self.moment = 1000.0
        self.reading = 50.0
        self.naps: list[float] = []
        self.steps = list(steps)

    def time(self) -> float:
        return self.moment

    def monotonic(self) -> float:
        return self.reading

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.moment += self.steps.pop(0) if self.steps else seconds
        self.reading += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def clock(self, colour: str = "awaits") -> SystemClock:
        clock = SystemClock(time=self.time)
        return clock.blocking() if colour == "blocks" else clock


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    """Put time, and both ways to sleep, under the test's control."""
    times = Times()
    monkeypatch.setattr(clocks, "time", times)
    monkeypatch.setattr(clocks, "_STARTED", times.reading)
    monkeypatch.setattr(clocks.asyncio, "sleep", times.asleep)
    return times


def step(coroutine: Coroutine[object, None, None]) -> bool:
    """Step a coroutine once; say whether it has ended without suspending."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


@in_both_colours
def test_now_is_the_time_of_the_machine(colour: str) -> None:
    """Without a word about time it lies between two readings of the system's."""
    clock = SystemClock().blocking() if colour == "blocks" else SystemClock()
    before = time.time()
    assert before <= clock.now() <= time.time()


@in_both_colours
def test_now_is_the_time_that_it_is_told_to_go_by(times: Times, colour: str) -> None:
    """A clock of another time shows that, in either colour, also when it changes."""
    clock = times.clock(colour)
    for moment in (1000.0, 999.5, 5_000_000.25):
        times.moment = moment
        assert clock.now() == clock.blocking().now() == moment


async def test_a_moment_that_has_passed_is_not_waited_for(times: Times) -> None:
    """Sleeping until now, the past or no moment at all returns without a nap."""
    for moment in (times.moment, times.moment - 1, float("nan")):
        await times.clock().sleep_until(moment)
    assert times.naps == []


@in_both_colours
async def test_a_sleeper_that_wakes_too_early_sleeps_again(times: Times, colour: str) -> None:
    """A timer that ends early does not end the sleep before its moment."""
    times.steps = [3.75, 0.75]
    await times.clock(colour).sleep_until(1005.0)
    assert times.naps == [5.0, 1.25, 0.5]
    assert times.moment == 1005.0


@in_both_colours
async def test_a_long_sleeper_notices_that_the_wall_clock_was_set(
    times: Times, colour: str
) -> None:
    """Somebody who sleeps for a day looks at the clock each minute, and so sees it jump."""
    times.steps = [60.0, 86_400.0]
    await times.clock(colour).sleep_until(1000.0 + 86_400.0)
    assert times.naps == [60.0, 60.0]


@in_both_colours
async def test_who_sleeps_at_most_so_long_notices_a_jump_within_a_second(
    times: Times, colour: str
) -> None:
    """Forwards, as after a suspension of the machine, or backwards; it wakes, and looks anew."""
    for jump in (3_600.0, -3_600.0):
        times.naps = []
        times.steps = [1.0, 1.0, jump]
        await times.clock(colour).sleep_until(times.moment + 60.0, at_most=10.0)
        assert times.naps == [1.0, 1.0, 1.0]


@in_both_colours
async def test_who_sleeps_at_most_so_long_wakes_then_or_at_the_moment(
    times: Times, colour: str
) -> None:
    """The earlier counts, and what has passed is not waited for."""
    for seconds, at_most in ((60.0, 2.5), (2.5, 60.0)):
        before = times.moment
        await times.clock(colour).sleep_until(before + seconds, at_most=at_most)
        assert times.moment == before + 2.5
    await times.clock(colour).sleep_until(times.moment, at_most=10.0)
    await times.clock(colour).sleep(1.5)
    assert times.naps == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0, 1.5]


@in_both_colours
@pytest.mark.parametrize(
    ("reading", "first"), [(50.25, 0.75), (50.75, 0.25), (50.96875, 1.03125)], ids=str
)
async def test_all_who_sleep_at_most_so_long_look_at_the_same_moments(
    times: Times, colour: str, reading: float, first: float
) -> None:
    """They wake the process once. One that is very near is left out: a timer may end early."""
    times.reading = reading
    await times.clock(colour).sleep_until(times.moment + 3.0, at_most=10.0)
    assert times.naps[:2] == [first, 1.0]


async def test_a_sleep_is_never_too_short() -> None:
    """With the real loop and the real time, no sleep of a few hundred microseconds ends early."""
    clock = SystemClock()
    for n in range(20):
        moment = clock.now() + n * 0.0001
        await clock.sleep_until(moment)
        assert clock.now() >= moment


async def test_sleeping_lets_the_loop_turn() -> None:
    """While one coroutine waits for its moment, another runs."""
    clock, ran = SystemClock(), asyncio.Event()
    sleeper = asyncio.create_task(clock.sleep_until(clock.now() + 3600))
    asyncio.get_running_loop().call_soon(ran.set)
    await ran.wait()
    assert not sleeper.done()
    sleeper.cancel()


def test_the_blocking_clock_never_suspends() -> None:
    """A blocking sleep ends on its first step, and not before its moment."""
    clock = SystemClock().blocking()
    moment = clock.now() + 0.001
    assert step(clock.sleep_until(moment))
    assert clock.now() >= moment
    assert step(clock.blocking().sleep_until(0.0))


def test_the_awaiting_clock_suspends() -> None:
    """The counterpart: a sleep on the awaiting clock does not end on its first step."""
    coroutine = SystemClock().sleep_until(time.time() + 3600)

    async def first_step() -> bool:
        return step(coroutine)

    assert not asyncio.run(first_step())


def test_every_calls_again_and_again_off_the_callers_thread() -> None:
    """The calls come on one daemon thread, until it is stopped."""
    threads: list[threading.Thread] = []
    thrice = threading.Event()

    def call() -> None:
        threads.append(threading.current_thread())
        if len(threads) == 3:
            thrice.set()

    stop = SystemClock().every(0.001, call)
    assert thrice.wait(PATIENCE)
    stop()
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon
    assert not threads[0].is_alive()


def test_an_error_is_logged_and_the_calls_go_on() -> None:
    """What a call raises is written to the log with its traceback, and ends nothing."""
    calls: list[int] = []
    thrice = threading.Event()

    def call() -> None:
        calls.append(1)
        if len(calls) == 3:
            thrice.set()
        raise ValueError("no luck")

    with capture_logs() as logs:
        stop = SystemClock().every(0.001, call)
        assert thrice.wait(PATIENCE)
        stop()
    assert logs[0]["log_level"] == "error"
    assert logs[0]["exc_info"] is True


def test_stopping_waits_for_a_call_in_progress() -> None:
    """What stops the calls returns only when the call in progress has ended."""
    entered, leave, stopped = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        entered.set()
        leave.wait(PATIENCE)

    stop = SystemClock().every(0.001, call)
    assert entered.wait(PATIENCE)

    def stop_it() -> None:
        stop()
        stopped.set()

    stopper = threading.Thread(target=stop_it)
    stopper.start()
    assert not stopped.wait(0.05)
    leave.set()
    stopper.join(PATIENCE)
    assert stopped.is_set()


def test_a_call_may_stop_itself() -> None:
    """Stopping from within the call does not deadlock, and no other call follows."""
    done = threading.Event()
    calls: list[threading.Thread] = []
    ready = threading.Event()

    def call() -> None:
        assert ready.wait(PATIENCE)
        calls.append(threading.current_thread())
        stops[0]()
        done.set()

    stops = [SystemClock().every(0.001, call)]
    ready.set()
    assert done.wait(PATIENCE)
    calls[0].join(PATIENCE)
    assert not calls[0].is_alive()
    assert len(calls) == 1


def test_stopping_twice_is_stopping_once() -> None:
    """A second stop does nothing, and one before the first call prevents it."""
    calls: list[int] = []
    stop = SystemClock().every(3600, lambda: calls.append(1))
    stop()
    stop()
    assert calls == []


class Ticks:
    """A monotonic clock and an event that moves it, so that a ticker runs in no time."""

    def __init__(self, until: float) -> None:
        self.moment = 0.0
        self.until = until

    def monotonic(self) -> float:
        return self.moment

    def wait(self, seconds: float) -> bool:
        self.moment += seconds
        return self.is_set()

    def is_set(self) -> bool:
        return self.moment >= self.until


def test_the_calls_do_not_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that take time themselves still come at whole multiples of the interval."""
    ticks, moments = Ticks(until=55.0), []
    monkeypatch.setattr(clocks, "time", ticks)

    def call() -> None:
        moments.append(ticks.moment)
        ticks.moment += 3.0

    clocks.tick(10.0, call, ticks)
    assert moments == [10.0, 20.0, 30.0, 40.0, 50.0]


def test_a_call_that_takes_too_long_skips_what_it_has_overrun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call of 25 seconds every 10 is followed by the next whole multiple, not by a burst."""
    ticks, moments = Ticks(until=95.0), []
    monkeypatch.setattr(clocks, "time", ticks)

    def call() -> None:
        moments.append(ticks.moment)
        ticks.moment += 25.0

    clocks.tick(10.0, call, ticks)
    assert moments == [10.0, 40.0, 70.0]


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan")])
def test_an_interval_that_is_none_is_refused(seconds: float) -> None:
    """An interval of zero would be a busy loop; the error names it."""
    with pytest.raises(InvalidOption, match=str(seconds)):
        SystemClock().every(seconds, lambda: None)
