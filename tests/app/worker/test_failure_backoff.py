from qcore.app.worker.failure_backoff import FailureBackoff
from qcore.testing import ManualClock
from qcore.testing.builders import NOW


def test_no_pause_is_shorter_than_a_second() -> None:
    """Whatever the dice say: a key that fails at once must not be tried in a busy loop."""
    backoff: FailureBackoff[str] = FailureBackoff(ManualClock(), lambda: 0.0, longest=60)
    assert [backoff.add("a") for _ in range(3)] == [1.0, 1.0, 1.0]
    assert backoff.retry_at("a") == NOW + 1


def test_the_key_whose_last_failure_is_the_oldest_is_forgotten() -> None:
    """One that fails again is not the oldest any more, and keeps its growing pauses."""
    clock = ManualClock()
    backoff: FailureBackoff[str] = FailureBackoff(clock, lambda: 1.0, longest=60, remembered=2)
    assert [backoff.add(key) for key in ("a", "b", "b", "a")] == [2.0, 2.0, 4.0, 4.0]
    backoff.add("c")
    assert ["a" in backoff, "b" in backoff, "c" in backoff] == [True, False, True]
    assert backoff.add("a") == 8.0
