"""The contract of the workers that a broker lists can fail."""

from collections.abc import Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.testing.contract import WorkersContract
from tests.contract import worker_registry_mutants as mutants

UNCHANGED = "test_a_worker_is_listed_as_it_announced_itself"
LAST = "test_the_last_announcement_is_what_is_listed"
REMOVED = "test_an_announcement_removes_those_that_have_expired"
UNTIL = "test_a_worker_is_listed_until_it_expires"
WITHDRAWN = "test_a_worker_that_was_withdrawn_is_gone"
STRANGER = "test_who_is_not_listed_may_be_withdrawn"

BROKEN: list[tuple[type[MemoryBroker], str]] = [
    (mutants.ForgetsRuns, UNCHANGED),
    (mutants.ForgetsWeights, UNCHANGED),
    (mutants.SortsQueues, UNCHANGED),
    (mutants.RoundsMoments, UNCHANGED),
    (mutants.CountsWorkers, "test_a_worker_is_neither_a_queue_nor_a_task"),
    (mutants.KeepsTheFirst, LAST),
    (mutants.ListsUnderTheirNames, LAST),
    (mutants.RemovesAll, LAST),
    (
        mutants.KeepsTheLatestEnd,
        "test_an_announcement_may_end_sooner_than_the_one_before",
    ),
    (mutants.RemovesAll, "test_many_who_announce_themselves_at_once_are_all_listed"),
    (mutants.KeepsTheKilled, REMOVED),
    (mutants.RemovesAFew, REMOVED),
    (mutants.RemovesAll, REMOVED),
    (mutants.NeverWithdraws, WITHDRAWN),
    (mutants.WithdrawsAll, WITHDRAWN),
    (mutants.MissesTheUnknown, STRANGER),
    (mutants.WithdrawsAll, STRANGER),
    (mutants.WithdrawsForGood, "test_a_worker_may_come_back"),
    (mutants.RemovesItself, "test_a_worker_that_has_expired_may_come_back"),
    (mutants.ListsByName, "test_workers_are_listed_in_the_order_of_their_starts"),
    (mutants.ListsAHundred, "test_more_than_a_hundred_workers_are_listed"),
    (mutants.ListsTheExpired, UNTIL),
    (mutants.ListsInWholeSeconds, UNTIL),
]


def a_case(broker: type[MemoryBroker], name: str) -> Callable[[], None]:
    """Return a case of the contract, for a broken broker."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker(keep=keep)

    suite: Any = type("Suite", (WorkersContract,), {"make_broker": make_broker})()
    case: Callable[[], None] = getattr(suite, name)
    return case


@pytest.mark.parametrize(("broker", "case"), BROKEN)
def test_a_broken_broker_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    a_case(MemoryBroker, case)()
    with pytest.raises((AssertionError, LookupError)):
        a_case(broker, case)()


def test_every_case_has_a_broken_broker() -> None:
    """But those that need a store that is shared, or that no bug of a dict can break."""
    cases = {name for name in vars(WorkersContract) if name.startswith("test_")}
    assert cases - {case for _, case in BROKEN} == {
        "test_a_worker_that_does_nothing_is_listed_too",
        "test_workers_of_one_store_are_listed_by_all_who_share_it",
    }
