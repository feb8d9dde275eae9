"""The contract of limits and of groups can fail."""

from collections.abc import Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.queue_limits import SetInFlight, SetRate
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Cancelled, Released, RunNow, Succeeded
from qcore.testing.contract import (
    BrokerContract,
    GroupContract,
    LimitsContract,
    StatisticsContract,
    UniqueContract,
)
from qcore.testing.contract.concurrency_limits import ONE_A_DAY, PAUSED, RESUMED
from qcore.testing.contract.rate_limits import UNEVEN
from tests.contract import group_mutants
from tests.contract import limits_mutants as mutants

PACE = "test_a_rate_is_a_burst_and_a_pace"
PAUSE = "test_a_paused_queue_hands_out_nothing"
AGAIN = "test_the_same_rate_again_does_not_fill_it"
LET_GO = "test_a_rule_that_lets_more_go_is_heard"
SPOILED = "test_who_does_not_wait_there_spoils_it"
REFUSED = "test_a_task_that_is_refused_leaves_the_members"
PAGED = "test_groups_are_listed_page_by_page"
SPAN = "test_a_group_tells_its_size_and_its_span"
GONE = "test_the_members_are_gone_and_their_keys_are_free"

Case = tuple[type[MemoryBroker], str, dict[str, object]]

BROKEN_OF_LIMITS: list[Case] = [
    (mutants.SetsOneAlone, "test_limits_are_set_one_by_one", {}),
    (mutants.LimitsAll, "test_each_queue_is_answered_at_its_place", {}),
    (mutants.LimitsAll, "test_what_one_queue_may_not_take_another_does", {"rule": PAUSED}),
    (mutants.AnswersInOrderOfNames, "test_each_queue_is_answered_at_its_place", {}),
    (mutants.RoundsRates, "test_a_rate_comes_back_as_it_was_set", {"rate": UNEVEN[1]}),
    (mutants.ForgetsPauses, PAUSE, {}),
    (mutants.PausesPromotion, PAUSE, {}),
    (mutants.PausesPromotion, "test_what_runs_in_a_paused_queue_is_not_lost", {}),
    (mutants.HidesWhatIsDue, "test_a_limit_hides_nothing_that_is_due", {}),
    (mutants.NeverLifts, PAUSE, {}),
    (mutants.NeverLifts, "test_a_limit_that_was_lifted_holds_nothing_back", {}),
    (mutants.NeverLifts, "test_a_queue_of_limits_alone_is_no_queue_of_tasks", {}),
    (mutants.CountsLimited, "test_a_queue_of_limits_alone_is_no_queue_of_tasks", {}),
    (mutants.ForgetsEmptyQueues, "test_limits_outlast_the_tasks", {}),
    (mutants.ListsNoEmptyQueues, "test_the_queues_with_limits_are_listed", {}),
    (mutants.ListsWhatWasLifted, "test_the_queues_with_limits_are_listed", {}),
    (mutants.ListsInOrderOfCalls, "test_the_queues_with_limits_are_listed", {}),
    (mutants.ForgetsWhatRan, "test_a_bucket_outlasts_the_tasks", {}),
    (
        mutants.StopsAtTheLimited,
        "test_what_one_queue_may_not_take_another_does",
        {"rule": SetInFlight(2)},
    ),
    (mutants.ForgetsHowManyRun, "test_no_more_are_active_than_may_be", {}),
    (mutants.ForgetsHowManyRun, "test_many_who_claim_at_once_share_it", {}),
    (mutants.LetsOneMoreRun, "test_no_more_are_active_than_may_be", {}),
    (mutants.LetsOneMoreRun, "test_fewer_than_run_add_none", {}),
    (mutants.ForgetsHowManyRun, "test_a_quota_and_the_room_left_are_limited_together", {}),
    (mutants.LetsOneMoreRun, "test_whatever_ends_makes_room", {"outcome": Succeeded()}),
    (mutants.LetsOneMoreRun, "test_a_rate_and_how_many_run_hold_together", {}),
]

BROKEN_OF_RATES: list[Case] = [
    (mutants.ForgetsRates, PACE, {}),
    (mutants.FillsAllAtOnce, PACE, {}),
    (mutants.BeginsEmpty, PACE, {}),
    (mutants.ForgetsLargeClaims, PACE, {}),
    (mutants.TellsWhenItIsFull, PACE, {}),
    *(
        (mutants.CountsInMilliseconds, "test_every_claim_has_as_many_as_the_rate_says", {"rate": r})
        for r in UNEVEN[1:2]
    ),
    *(
        (mutants.TellsWhenItIsFull, "test_the_moment_that_is_told_is_the_very_moment", {"rate": r})
        for r in UNEVEN[:3]
    ),
    (mutants.FillsAgain, AGAIN, {}),
    (mutants.FillsAgain, "test_a_pause_stops_no_clock", {}),
    (mutants.NeverFills, AGAIN, {}),
    (mutants.NeverFills, "test_a_rate_that_was_lifted_begins_anew", {}),
    (mutants.ForgetsRates, "test_all_who_claim_share_a_rate", {}),
    (mutants.ForgetsLargeClaims, "test_all_who_claim_share_a_rate", {}),
    (mutants.ForgetsRates, "test_many_who_claim_at_once_share_a_rate", {}),
    (mutants.LimitsAll, "test_each_queue_has_a_bucket_of_its_own", {}),
    (mutants.TakesForTheExpired, "test_what_expired_takes_nothing", {}),
    (mutants.TakesInVain, "test_a_claim_that_finds_nothing_takes_nothing", {}),
    (mutants.PutsBack, "test_what_comes_back_puts_nothing_back", {"outcome": Released()}),
    (mutants.PutsBack, "test_a_worker_that_is_lost_puts_nothing_back", {}),
    (mutants.TellsNoStarts, "test_the_next_start_is_a_moment_due", {}),
    (mutants.TellsNoStarts, "test_the_next_start_of_several_queues_is_the_earliest", {}),
    (mutants.TellsStartsOfTheKept, "test_the_next_start_is_a_moment_due", {}),
    (mutants.TellsNoStarts, PACE, {}),
]

BROKEN_OF_EARS: list[Case] = [
    *(
        (mutants.deaf_to("set_limit"), LET_GO, {"before": before, "rule": rule})
        for before, rule in (
            (PAUSED, RESUMED),
            (SetInFlight(1), SetInFlight(2)),
            (ONE_A_DAY, SetRate(None)),
        )
    ),
    (mutants.deaf_to("settle"), "test_an_end_that_makes_room_is_heard", {"outcome": Succeeded()}),
    (mutants.deaf_to("execute"), "test_an_order_that_makes_room_is_heard", {}),
    (mutants.deaf_to("sweep"), "test_a_crash_that_makes_room_is_heard", {"crashes": 1}),
    (mutants.deaf_to("enqueue"), "test_a_new_group_is_heard", {}),
    (mutants.deaf_to("claim"), "test_a_group_that_a_claim_begins_is_heard", {}),
    (mutants.deaf_to("settle"), "test_what_follows_a_success_may_wait_in_a_group", {}),
    (mutants.deaf_to("aggregate"), "test_what_they_become_is_heard", {"due": None}),
]

BROKEN_OF_GROUPS: list[Case] = [
    (group_mutants.ForgetsGroups, "test_a_task_of_a_group_waits_in_it", {}),
    (group_mutants.JoinsWhenPromoted, "test_a_delayed_task_joins_its_group_at_its_moment", {}),
    (group_mutants.JoinsWhenPromoted, "test_a_member_that_comes_late_has_its_own_place", {}),
    (group_mutants.ListsInUtf16, PAGED, {}),
    (group_mutants.ListsByCase, PAGED, {}),
    (group_mutants.ListsOneTooMany, SPAN, {}),
    (group_mutants.ListsNoLast, SPAN, {}),
    (group_mutants.ListsTheEmpty, SPAN, {}),
    (
        group_mutants.ListsTheEmpty,
        "test_the_last_who_leaves_takes_the_group",
        {"order": Cancelled()},
    ),
    (group_mutants.ListsTheEmpty, "test_the_last_who_leaves_takes_the_group", {"order": RunNow()}),
    (group_mutants.ListsAllMembers, "test_members_are_bounded", {}),
    (group_mutants.OrdersByPriority, "test_members_come_in_the_order_of_their_moments", {}),
    (group_mutants.OrdersByPriority, "test_a_member_that_is_changed_keeps_its_place", {}),
    *((group_mutants.MergesWhatIsThere, SPOILED, {"odd": odd}) for odd in ("other", "gone")),
    (group_mutants.MergesWhatIsThere, "test_of_two_groups_with_a_member_in_common_one_is_made", {}),
    (group_mutants.MergesFromAnywhere, SPOILED, {"odd": "other"}),
    (group_mutants.MergesNobody, SPOILED, {"odd": "none"}),
    (group_mutants.KeepsMembers, "test_of_two_who_aggregate_the_same_one_does", {}),
    (group_mutants.KeepsMembers, "test_many_who_aggregate_at_once_do_it_once", {}),
    (group_mutants.KeepsMembers, GONE, {}),
    (group_mutants.TakesTheWholeGroup, GONE, {}),
    (group_mutants.KeepsTheirKeys, GONE, {}),
    (group_mutants.AdmitsFirst, "test_of_two_who_aggregate_the_same_one_does", {}),
    *(
        (group_mutants.AdmitsFirst, "test_who_is_too_late_hears_nothing_else", {"taken": taken})
        for taken in ("id", "key")
    ),
    (group_mutants.LetsMembersGoFirst, REFUSED, {}),
    (group_mutants.LetsMembersGoFirst, "test_a_task_cannot_have_the_id_of_a_member", {}),
    (group_mutants.LetsMembersGoFirst, "test_a_task_that_runs_keeps_its_key", {}),
    (group_mutants.ChecksNothing, "test_what_cannot_take_their_place_is_refused", {}),
]


def a_suite(broker: type[MemoryBroker], **attributes: object) -> Any:
    """Return an instance of the contract for a broken broker, to run cases of by hand."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker(keep=keep)

    bases = (BrokerContract, UniqueContract, GroupContract, LimitsContract, StatisticsContract)
    return type("Suite", bases, {"make_broker": make_broker, **attributes})()


@pytest.mark.parametrize(
    ("broker", "case", "given"),
    [*BROKEN_OF_LIMITS, *BROKEN_OF_RATES, *BROKEN_OF_EARS, *BROKEN_OF_GROUPS],
)
def test_a_broken_broker_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str, given: dict[str, object]
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    run: Callable[..., None] = getattr(a_suite(MemoryBroker), case)
    run(**given)
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        getattr(a_suite(broker, patience=0.05), case)(**given)
