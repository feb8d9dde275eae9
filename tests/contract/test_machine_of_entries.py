"""The machine catches brokers that break a promise of entries, or of what is counted."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.memory import MemoryBroker
from qcore.testing.machine import broker_machine
from tests.contract import periodic_mutants, statistics_mutants

MACHINE_CATCHES: list[type[MemoryBroker]] = [
    periodic_mutants.AddsAgain,
    periodic_mutants.BringsBack,
    periodic_mutants.BelievesAllLive,
    statistics_mutants.ForgetsTimes,
    statistics_mutants.HasOneNameForAll,
]


@pytest.mark.parametrize("broker", MACHINE_CATCHES)
def test_the_machine_catches_a_broken_broker(broker: type[MemoryBroker]) -> None:
    """It gives an answer that the memory broker does not."""
    machine = broker_machine(lambda keep: broker(keep=keep))
    # found is enough: the smallest example is for people
    once = settings(
        max_examples=2_000,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=once)
