"""The machine catches brokers that break a promise of entries, or of what is counted."""

import pytest

from qcore.adapters.memory import MemoryBroker
from tests.contract import periodic_mutants, statistics_mutants
from tests.contract.machine_search import assert_the_machine_catches

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
    assert_the_machine_catches(broker)
