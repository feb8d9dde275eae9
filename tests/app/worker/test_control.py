"""What a worker was asked to do, and who is woken for it."""

from qcore.app.worker.control import WorkerControl
from qcore.testing import ManualClock


def test_the_grace_counts_from_the_first_request() -> None:
    """A second request to stop, at once, does not begin the grace anew."""
    clock = ManualClock()
    control = WorkerControl(clock)
    assert control.rest_of(5) == 5
    control.stop()
    clock.advance(3)
    control.stop(at_once=True)
    assert control.rest_of(5) == 2
    assert control.stopping_at_once.is_set()
    clock.advance(3)
    assert control.rest_of(5) == 0


def test_every_part_that_waits_is_woken() -> None:
    """To stop and to resume is something to do; to pause is to do less."""
    woken: list[str] = []
    control = WorkerControl(ManualClock())
    control.wake_with(lambda: woken.append("claims"), lambda: woken.append("groups"))
    control.pause()
    assert woken == []
    control.resume()
    control.stop()
    assert woken == ["claims", "groups"] * 2


def test_a_worker_that_runs_again_is_not_stopping() -> None:
    """What was asked of the run before is forgotten, but not that it is paused."""
    clock = ManualClock()
    control = WorkerControl(clock)
    control.pause()
    control.stop(at_once=True)
    clock.advance(1)
    control.reset()
    assert not control.stopping.is_set()
    assert not control.stopping_at_once.is_set()
    assert control.rest_of(5) == 5
    assert control.is_paused
