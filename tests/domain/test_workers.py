import pytest

from qcore.domain.workers import Condition
from qcore.testing.builders import NOW, a_worker


@pytest.mark.parametrize(
    ("after", "condition"),
    [(0, Condition.RUNNING), (7.5, Condition.RUNNING), (7.6, Condition.SILENT)],
)
def test_a_worker_that_misses_an_announcement_is_silent(after: float, condition: Condition) -> None:
    """It announces itself every five seconds; half as long again is no coincidence."""
    assert a_worker().condition(NOW + after) is condition


def test_how_long_a_worker_may_be_silent_follows_from_what_it_announced() -> None:
    """One that announces itself every minute is not silent after ten seconds."""
    assert a_worker(expires=NOW + 180).condition(NOW + 60) is Condition.RUNNING


def test_what_keeps_a_worker_from_its_work_comes_first() -> None:
    """That it is paused says nothing of one that hangs."""
    worker = a_worker(is_paused=True, is_stopping=True, loop_lag=3.0)
    assert worker.condition(NOW + 9) is Condition.SILENT
    assert worker.condition(NOW) is Condition.BLOCKED
    assert a_worker(is_paused=True, is_stopping=True).condition(NOW) is Condition.STOPPING
    assert a_worker(is_paused=True).condition(NOW) is Condition.PAUSED


def test_a_worker_that_is_a_moment_late_is_not_blocked() -> None:
    """Loops are late by milliseconds all the time."""
    assert a_worker(loop_lag=0.9).condition(NOW) is Condition.RUNNING


def test_a_worker_whose_clock_is_ahead_was_heard_of_now() -> None:
    """An age is never negative."""
    assert a_worker(seen=NOW + 3).age(NOW) == 0
    assert a_worker().age(NOW + 3) == 3
