import asyncio
import os
import signal
import threading

import pytest

from qcore.entrypoints import signals
from qcore.entrypoints.signals import obey_signals

WATCHED = [signal.SIGTERM, signal.SIGINT, signal.SIGTSTP, signal.SIGUSR1, signal.SIGCONT]


class Listener:
    """A worker that only notes what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def stop(self, *, at_once: bool = False) -> None:
        self.told.put_nowait("stop at once" if at_once else "stop")

    def pause(self) -> None:
        self.told.put_nowait("pause")

    def resume(self) -> None:
        self.told.put_nowait("resume")

    async def on(self, number: signal.Signals) -> str:
        """Send a signal to this process, and return what the worker was told."""
        os.kill(os.getpid(), number)
        async with asyncio.timeout(30):
            return await self.told.get()


@pytest.fixture
def worker() -> Listener:
    """Return somebody to be told."""
    return Listener()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_stops_and_the_second_stops_at_once(
    worker: Listener, first: signal.Signals, second: signal.Signals
) -> None:
    """Whichever of the two they are; a third says the same again."""
    with obey_signals(worker):
        assert await worker.on(first) == "stop"
        assert await worker.on(second) == "stop at once"
        assert await worker.on(first) == "stop at once"


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGUSR1])
async def test_others_pause(worker: Listener, number: signal.Signals) -> None:
    """However often; a stop after it is still the first."""
    with obey_signals(worker):
        assert await worker.on(number) == "pause"
        assert await worker.on(number) == "pause"
        assert await worker.on(signal.SIGTERM) == "stop"


async def test_a_continued_process_claims_again(worker: Listener) -> None:
    """SIGCONT, which a shell sends to what it brings back to the foreground."""
    with obey_signals(worker):
        assert await worker.on(signal.SIGTSTP) == "pause"
        assert await worker.on(signal.SIGCONT) == "resume"


async def test_afterwards_every_signal_means_what_it_meant_before(worker: Listener) -> None:
    """The handlers of whoever embeds a worker come back."""
    mine = [lambda *_: None for _ in WATCHED]
    before = [signal.signal(number, own) for number, own in zip(WATCHED, mine, strict=True)]
    try:
        with obey_signals(worker):
            assert all(
                signal.getsignal(number) is not own
                for number, own in zip(WATCHED, mine, strict=True)
            )
        assert [signal.getsignal(number) for number in WATCHED] == mine
    finally:
        for number, own in zip(WATCHED, before, strict=True):
            signal.signal(number, own)


async def test_they_come_back_after_an_error_too(worker: Listener) -> None:
    """A worker that could not begin leaves no handlers behind."""
    before = [signal.getsignal(number) for number in WATCHED]
    with pytest.raises(LookupError), obey_signals(worker):
        raise LookupError
    assert [signal.getsignal(number) for number in WATCHED] == before


async def test_where_loops_know_no_signals_they_are_obeyed_all_the_same(
    worker: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where only the interpreter can be asked."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
    before = signal.getsignal(signal.SIGTERM)
    with obey_signals(worker):
        assert await worker.on(signal.SIGTERM) == "stop"
        assert await worker.on(signal.SIGTERM) == "stop at once"
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_signal_that_this_system_has_not_is_left_out(
    worker: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are obeyed."""
    monkeypatch.delattr(signal, "SIGTSTP")
    with obey_signals(worker):
        assert await worker.on(signal.SIGUSR1) == "pause"


class Watch:
    """A timer that only notes what becomes of it."""

    def __init__(self, seconds: float, call: object) -> None:
        self.given = seconds, call
        self.is_running = False

    def start(self) -> None:
        self.is_running = True

    def cancel(self) -> None:
        self.is_running = False


class TestUnheard:
    """A loop that does not turn hears of no signal."""

    @pytest.fixture
    def watches(self, monkeypatch: pytest.MonkeyPatch) -> list[Watch]:
        """Return the timers that are made."""
        made: list[Watch] = []

        def make(seconds: float, call: object) -> Watch:
            made.append(Watch(seconds, call))
            return made[-1]

        monkeypatch.setattr(signals, "Timer", make)
        return made

    async def test_a_second_stop_that_the_loop_does_not_hear_is_told(
        self, worker: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From another thread, as the loop's own does not come to it."""
        monkeypatch.setattr(signals, "PATIENCE", 0.01)
        told: list[int] = []
        unheard = threading.Event()

        def note() -> None:
            told.append(threading.get_ident())
            unheard.set()

        with obey_signals(worker, unheard=note):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            # the loop stands still meanwhile
            assert unheard.wait(30)
        assert len(told) == 1
        assert told != [threading.get_ident()]

    async def test_one_that_it_hears_is_not(self, worker: Listener, watches: list[Watch]) -> None:
        """The loop has the time it is given; a first stop and a pause are not waited for at all."""
        with obey_signals(worker, unheard=pytest.fail):
            assert await worker.on(signal.SIGUSR1) == "pause"
            assert await worker.on(signal.SIGTERM) == "stop"
            assert await worker.on(signal.SIGUSR1) == "pause"
            assert not watches
            assert await worker.on(signal.SIGTERM) == "stop at once"
            assert [watch.given for watch in watches] == [(signals.PATIENCE, pytest.fail)]
            assert not watches[0].is_running
            assert await worker.on(signal.SIGINT) == "stop at once"
            assert [watch.is_running for watch in watches] == [False, False]

    async def test_nothing_is_left_behind(self, worker: Listener, watches: list[Watch]) -> None:
        """Neither a timer, nor a thread, nor a descriptor that signals are written to."""
        threads = threading.active_count()
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        with obey_signals(worker, unheard=pytest.fail):
            assert threading.active_count() == threads + 1
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        assert [watch.is_running for watch in watches] == [False]
        assert threading.active_count() == threads
        assert signal.set_wakeup_fd(before) == before
