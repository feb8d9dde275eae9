"""The machine catches brokers that break a promise of entries, or of what is counted."""

import pytest

from qcore.adapters.memory import MemoryBroker
from tests.contract import periodic_mutants, statistics_mutants
from tests.contract.machine_search import assert_the_machine_catches

OF_ENTRIES = ("both_have_the_same_entries", "write_entries")
OF_COMMANDS = ("execute", "extend", "note", "restore", "show")
OF_LIMITS = ("aggregate", "both_have_the_same_groups", "both_have_the_same_limits", "set_limit")
OF_TASKS = (
    "both_hold_the_same",
    "claim",
    "counts_agree_with_pages",
    "settle",
    "statistics",
)
BUT_ENTRIES = (*OF_COMMANDS, *OF_LIMITS, *OF_TASKS)

MACHINE_CATCHES: list[tuple[type[MemoryBroker], tuple[str, ...]]] = [
    (periodic_mutants.AddsAgain, (*BUT_ENTRIES, "work")),
    (periodic_mutants.BringsBack, (*BUT_ENTRIES, "work")),
    (periodic_mutants.BelievesAllLive, BUT_ENTRIES),
    (statistics_mutants.ForgetsTimes, OF_ENTRIES),
    (statistics_mutants.HasOneNameForAll, OF_ENTRIES),
]


@pytest.mark.parametrize(("broker", "without"), MACHINE_CATCHES)
def test_the_machine_catches_a_broken_broker(
    broker: type[MemoryBroker], without: tuple[str, ...]
) -> None:
    """It gives an answer that the memory broker does not."""
    assert_the_machine_catches(broker, without=without)
