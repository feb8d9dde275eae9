"""The contract of statistics can fail."""

from collections.abc import Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.testing.contract import StatisticsContract
from tests.contract import statistics_mutants as mutants

EACH = "test_each_verdict_is_counted_by_its_outcome"
TWICE = "test_a_verdict_that_is_given_twice_counts_once"
LOST = "test_verdicts_whose_lease_is_lost_count_nothing"
TIMES = "test_times_go_into_histograms"
BACK = "test_what_is_given_back_counts_nothing"
CRASHES = "test_crashes_are_counted"
BOUND = "test_the_number_of_names_is_bounded"
ORDER = "test_rows_come_in_order"
DAYS = "test_minutes_become_hours_and_hours_become_days"

BROKEN = [
    (mutants.HasOneNameForAll, EACH),
    (mutants.CallsAllFailuresOne, EACH),
    (mutants.ForgetsTheCancelled, EACH),
    (mutants.CountsWhenItWasClaimed, "test_a_verdict_is_counted_when_it_is_settled"),
    (mutants.CountsWhatIsLost, TWICE),
    (mutants.CountsWhatIsLost, LOST),
    (mutants.CountsWhatIsLost, "test_of_many_who_settle_the_same_one_counts"),
    (mutants.CountsWhatIsLost, "test_a_verdict_that_has_follow_ups_counts_once"),
    (mutants.CountsNothingOfAMixedBatch, TWICE),
    (mutants.CountsNothingOfAMixedBatch, LOST),
    (mutants.ForgetsTimes, TWICE),
    (mutants.ForgetsTimes, TIMES),
    (mutants.SwapsTimes, TIMES),
    (mutants.SwapsTimes, "test_times_add_up_over_calls"),
    (mutants.NeedsTimes, "test_a_verdict_without_times_is_counted"),
    (mutants.CountsReleases, BACK),
    (mutants.ForgetsCrashes, CRASHES),
    (mutants.SeesNoLastCrash, CRASHES),
    (mutants.ForgetsTheCancelled, "test_what_is_cancelled_is_counted"),
    (mutants.CountsDeletions, "test_what_else_an_operator_does_counts_nothing"),
    (mutants.CountsWhatIsRestored, "test_what_is_restored_is_not_counted"),
    (mutants.ForgetsTheExpired, "test_what_expired_is_counted"),
    (mutants.HasNoBound, BOUND),
    (mutants.LosesTheOthers, BOUND),
    (mutants.KeepsStatisticsOfTheRemoved, "test_no_statistics_are_left_of_a_removed_queue"),
    (mutants.TellsTheLatestFirst, ORDER),
    (mutants.SortsTheQueues, ORDER),
    (mutants.TellsOfQueuesWithTasksAlone, "test_all_queues_may_be_asked_for"),
    (mutants.LeavesOutPeriodsThatHaveBegun, "test_a_period_counts_if_any_of_it_is_asked_for"),
    (mutants.ForgetsDaysWithTheirMinutes, DAYS),
    (mutants.KeepsThemForEver, "test_periods_are_shown_for_as_long_as_they_are_kept"),
]


def a_suite(broker: type[MemoryBroker]) -> Any:
    """Return an instance of the contract for a broken broker, to run cases of by hand."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker(keep=keep)

    return type("Suite", (StatisticsContract,), {"make_broker": make_broker})()


@pytest.mark.parametrize(("broker", "case"), BROKEN)
def test_a_broken_broker_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    run: Callable[[], None] = getattr(a_suite(MemoryBroker), case)
    run()
    with pytest.raises(AssertionError):
        getattr(a_suite(broker), case)()


def test_every_case_catches_a_broken_broker() -> None:
    """None of them is there that could not fail."""
    cases = {name for name in dir(StatisticsContract) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}
