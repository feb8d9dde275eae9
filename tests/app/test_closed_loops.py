"""What other threads tell an event loop that closes at that moment, as at the end of a program."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qcore.app.client.wakeup import Wakeup
from qcore.app.worker.instruments import Instruments
from qcore.app.worker.lease_loss import LeaseLoss
from qcore.app.worker.run import Run
from qcore.domain.events import WorkerPaused
from qcore.testing import Signals, a_context
from qcore.testing.builders import a_claim


class ClosingLoop(asyncio.SelectorEventLoop):
    """Is open when somebody calls it, and closed when the call gets there."""

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.close()
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.fixture
def loop() -> Iterator[ClosingLoop]:
    """Give such a loop."""
    loop = ClosingLoop()
    yield loop
    loop.close()


def in_a_thread(call: Callable[[], object]) -> None:
    """Make a call in a thread of its own; raise what it raises."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  (raised below)
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def test_a_wake_up_is_lost_with_its_loop(loop: ClosingLoop) -> None:
    """Who tells of new work, a broker's listener, is not disturbed."""
    in_a_thread(Wakeup(loop))
    assert loop.is_closed()


def test_the_loss_of_a_lease_is_nobodys_business_any_more(loop: ClosingLoop) -> None:
    """Neither the broker's listener nor the heartbeat that reports it is disturbed."""
    claim = a_claim()
    run = Run(claim, a_context())
    losses = LeaseLoss({run}, loop, Instruments(()))
    in_a_thread(lambda: losses.report_token(claim.lease.queue, claim.lease.token))
    assert loop.is_closed()
    in_a_thread(lambda: losses.report(run))


def test_a_signal_is_kept_for_the_next_loop(loop: ClosingLoop) -> None:
    """Who tells of an event is not disturbed, and the next one who asks for it has it."""
    signals = Signals()
    waiting = loop.create_task(signals.paused.next())
    loop.run_until_complete(asyncio.sleep(0))
    in_a_thread(lambda: signals(WorkerPaused()))
    assert loop.is_closed()
    assert asyncio.run(signals.paused.next()) == WorkerPaused()
    # it would complain of having been destroyed while it was pending
    waiting._log_destroy_pending = False  # noqa: SLF001  (asyncio has no public switch)
