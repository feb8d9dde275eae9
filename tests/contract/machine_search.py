"""Search for an answer of a broken broker that the memory broker does not give."""

from collections.abc import Iterable

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.memory import MemoryBroker
from qcore.testing.machine import broker_machine


def assert_the_machine_catches(broker: type[MemoryBroker], *, without: Iterable[str] = ()) -> None:
    """Run the state machine until it has found one; found is enough, it is not made small.

    The fewer rules it has to choose from, the sooner it comes upon those that show the fault: rules
    and invariants that have nothing to do with it are left out.
    """
    whole = broker_machine(lambda keep: broker(keep=keep))
    machine = type(whole.__name__, (whole,), dict.fromkeys(without))
    once = settings(
        max_examples=2_000,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=once)
