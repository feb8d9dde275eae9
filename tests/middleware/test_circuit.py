from qcore.middleware.circuit import Circuit
from qcore.testing.builders import NOW


def failed(circuit: Circuit, *after: float) -> list[bool]:
    """Fail at these seconds from now; return what was said each time."""
    return [circuit.fail(NOW + each) for each in after]


def test_so_many_failures_within_the_window_are_too_many() -> None:
    """The third of three within ten seconds is; so is each that follows as closely."""
    circuit = Circuit(3, within=10)
    assert failed(circuit, 0, 5, 10, 14) == [False, False, True, True]


def test_failures_that_are_far_between_are_not_too_many() -> None:
    """Those that are older than the window are forgotten one by one."""
    circuit = Circuit(3, within=10)
    assert failed(circuit, 0, 5, 10.5, 15.5, 16) == [False, False, False, False, True]


def test_one_failure_may_be_too_many() -> None:
    """A circuit may open at the first."""
    assert failed(Circuit(1, within=10), 0) == [True]


def test_an_open_circuit_knows_until_when_and_how_often() -> None:
    """Opening again adds to the count; the last pause counts from the last time."""
    circuit = Circuit(2, within=10)
    assert (circuit.opened, circuit.until) == (0, None)
    circuit.open(NOW, 30)
    circuit.open(NOW + 30, 60)
    assert (circuit.opened, circuit.pause, circuit.until) == (2, 60, NOW + 90)
