"""The contract can fail: each broken broker here fails the case that is named after it."""

from collections.abc import Callable
from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.states import State
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Deleted, Rejected, Rescheduled, Succeeded
from qcore.testing.builders import NOW
from qcore.testing.contract import BrokerContract, UniqueContract, run_details, subscriptions
from qcore.testing.contract.changes import CHANGES
from tests.contract import broker_mutants as brokers
from tests.contract import (
    change_mutants,
    followup_mutants,
    queue_removal_mutants,
    ready_mutants,
    run_details_mutants,
    subscription_mutants,
)

AT_ONCE = "test_of_verdicts_settled_at_once_one_counts"

BROKEN: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (
        brokers.IgnoresTokens,
        "test_a_stale_workers_verdict_changes_nothing",
        {"outcome": Succeeded()},
    ),
    (brokers.IgnoresTokens, "test_another_token_is_not_the_current_one", {"step": 1}),
    (brokers.IgnoresTokens, "test_a_stale_lease_is_not_renewed", {}),
    (ready_mutants.SeesTheNextAlone, "test_a_task_of_a_low_priority_waits_too", {}),
    (ready_mutants.SeesTheNextAlone, "test_a_hundred_priorities_are_looked_at", {}),
    (
        ready_mutants.SeesWhatIsNotDue,
        "test_each_queue_is_answered_with_its_earliest_ready_task",
        {},
    ),
    (ready_mutants.SeesWhatRuns, "test_what_runs_or_has_ended_does_not_wait", {}),
    (brokers.ForgetsPriority, "test_a_higher_priority_comes_first", {}),
    (
        brokers.ForgetsPriority,
        "test_a_thousand_random_priorities_come_in_exact_order",
        {"batch": 7},
    ),
    (brokers.IsEarly, "test_a_scheduled_task_is_never_a_millisecond_early", {"delay": 0.002}),
    (brokers.CountsInSeconds, "test_a_success_is_kept_for_its_retention", {"retention": 0.25}),
    (brokers.LosesFractions, "test_moments_keep_their_fractions", {"fraction": 0.0001}),
    (brokers.HandsOutTwice, "test_a_claimed_task_is_not_handed_out_again", {}),
    (brokers.HandsOutTwice, "test_claims_made_together_hand_each_task_out_once", {}),
    (brokers.ForgetsCrashes, "test_a_task_at_its_last_chance_is_handed_out_alone", {}),
    (brokers.ForgetsCrashes, "test_what_is_before_it_goes_first", {}),
    (brokers.ForgetsCrashes, "test_it_is_alone_however_room_is_divided", {}),
    (brokers.ForgetsFirstCrashes, "test_after_a_first_crash_few_are_handed_out_together", {}),
    (brokers.TakesFailuresForCrashes, "test_failures_are_no_crashes", {}),
    (
        brokers.KnowsOneLastChance,
        "test_the_last_chance_is_a_task_s_own",
        {"most": 4, "crashes": 2, "expected": [3]},
    ),
    (
        brokers.KnowsOneLastChance,
        "test_the_last_chance_is_a_task_s_own",
        {"most": 2, "crashes": 1, "expected": [1, 1, 1]},
    ),
    (brokers.AnswersTwice, "test_threads_hand_each_task_out_once", {}),
    (brokers.KeepsTheDeleted, "test_a_deleted_task_leaves_nothing", {"state": State.PENDING}),
    (brokers.SweepsWithoutEnd, "test_a_sweep_takes_back_at_most_its_limit", {}),
    (brokers.SweepsWithoutEnd, "test_twenty_thousand_old_tasks_are_trimmed_in_bounded_sweeps", {}),
    (brokers.NamesNothingSwept, "test_a_sweep_names_what_it_moved", {}),
    (brokers.NamesNothingSwept, "test_what_was_not_moved_is_not_named", {}),
    (brokers.NamesAllSwept, "test_a_sweep_names_no_more_than_that", {}),
    (brokers.StartsTokensAgain, "test_tokens_grow_though_all_tasks_are_long_gone", {}),
    (brokers.CountsTokensFromOne, "test_tokens_are_greater_than_the_time", {}),
    (brokers.StopsAtAConflict, "test_a_conflict_does_not_keep_the_others_out", {}),
    (brokers.BurnsSnoozes, "test_a_snooze_burns_nothing", {}),
    (brokers.LosesResults, "test_a_payload_and_a_result_may_be_a_mebibyte", {}),
    (brokers.RepeatsPages, "test_pages_hold_every_task_once", {"state": State.DEAD}),
    (brokers.Suspends, "test_the_blocking_broker_never_suspends", {}),
    (brokers.CountsTooMany, "test_states_and_queues_with_nothing_are_left_out", {}),
    (brokers.PutsLast, "test_released_tasks_go_to_the_head_in_their_old_order", {}),
    (brokers.PutsLast, "test_a_crashed_task_goes_back_to_its_old_place", {}),
    (brokers.IsDeaf, "test_an_enqueue_is_heard", {"due": None}),
    (brokers.ForgetsKeys, "test_a_duplicate_is_told_who_has_the_key", {"state": State.PENDING}),
    (
        brokers.LetsGoOfOthers,
        "test_a_key_that_is_another_s_is_not_let_go",
        {"state": State.PENDING, "order": Deleted()},
    ),
    (brokers.ReplacesTheActive, "test_a_task_that_runs_is_not_replaced", {}),
    (brokers.ForgetsTheirTime, "test_a_key_is_had_for_its_time", {}),
    (brokers.WritesHalf, "test_no_reader_sees_half_a_batch", {}),
    (brokers.SettlesWithoutALock, AT_ONCE, {}),
    (brokers.KeepsTheLastVerdict, AT_ONCE, {}),
]

REPLACES = "test_a_note_replaces_what_it_has_and_leaves_the_rest"
NEW_TASK = "test_a_new_task_of_the_id_begins_with_nothing"
IS_GONE = "test_nothing_is_kept_of_a_task_that_is_gone"
IS_THERE = "test_what_is_there_already_is_left_as_it_is"
IS_LOST = "test_nothing_follows_a_verdict_that_does_not_count"
FINDS = "test_the_next_attempt_finds_what_was_saved"
TOLD = "test_news_are_told"
MOMENT = "test_a_task_is_due_at_its_new_moment"
CHANGED = "test_what_was_changed_comes_back"

BROKEN_OF_RUNS: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (run_details_mutants.AnswersNotesBackwards, "test_each_note_is_answered_at_its_place", {}),
    (brokers.IgnoresTokens, "test_a_stale_workers_note_changes_nothing", {}),
    (
        run_details_mutants.NotesWhatHasEnded,
        "test_a_run_that_has_ended_notes_nothing",
        {"state": State.COMPLETED},
    ),
    (run_details_mutants.NotesInFull, REPLACES, {}),
    (run_details_mutants.SeesEverybody, "test_each_task_is_answered_at_its_place", {}),
    (
        run_details_mutants.SeesEverybody,
        "test_a_note_on_a_task_that_is_gone_brings_nothing_back",
        {},
    ),
    (run_details_mutants.ShowsNine, "test_the_last_ten_errors_are_kept", {}),
    (run_details_mutants.ShowsTheLatestFirst, "test_the_last_ten_errors_are_kept", {}),
    (run_details_mutants.ShowsNoTracebacks, "test_the_last_ten_errors_are_kept", {}),
    (run_details_mutants.ShowsNoTracebacks, "test_an_error_is_in_the_details", {}),
    (
        run_details_mutants.ShowsNoWorkers,
        "test_whatever_went_wrong_is_kept",
        {"outcome": Rejected("no", worker="w")},
    ),
    (run_details_mutants.ShowsNoLostWorkers, "test_a_lease_that_ran_out_is_an_error", {}),
    (run_details_mutants.ForgetsAtACrash, FINDS, {"way": run_details.WAYS[3]}),
    (run_details_mutants.ForgetsAtARetry, FINDS, {"way": run_details.WAYS[0]}),
    (run_details_mutants.ForgetsAtAnOrder, FINDS, {"way": run_details.WAYS[4]}),
    (run_details_mutants.Bequeaths, NEW_TASK, {}),
    (run_details_mutants.Bequeaths, "test_a_task_that_is_replaced_leaves_no_notes", {}),
    (run_details_mutants.RemembersTheGone, IS_GONE, {"outcome": Succeeded()}),
    (run_details_mutants.ShowsTheFirstOrders, "test_the_last_twenty_records_are_kept", {}),
    (run_details_mutants.ShowsOrdersBackwards, "test_the_last_twenty_records_are_kept", {}),
    (run_details_mutants.RecordsNobody, "test_a_command_by_nobody_is_not_recorded", {}),
    (run_details_mutants.RecordsNobody, "test_a_command_changes_nothing_else", {}),
    (run_details_mutants.RecordsWhatWasAsked, "test_only_what_was_moved_has_a_record", {}),
    (run_details_mutants.ForgetsWhoAtAFailure, "test_records_outlast_runs", {}),
    (run_details_mutants.Bequeaths, "test_records_are_gone_with_their_task", {}),
]
"""What is kept of runs."""

BROKEN_OF_NEWS: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (followup_mutants.ForgetsWhatFollows, "test_what_follows_is_enqueued", {}),
    (followup_mutants.ForgetsWhatFollows, "test_a_batch_has_its_followers", {}),
    (followup_mutants.FollowsTheLost, IS_LOST, {}),
    (followup_mutants.FollowsTheLost, "test_a_batch_has_its_followers", {}),
    (followup_mutants.StopsAtARefusal, IS_THERE, {}),
    (followup_mutants.OverwritesWhatIsThere, IS_THERE, {}),
    (followup_mutants.FollowsFirst, "test_a_task_may_be_followed_by_itself", {}),
    (followup_mutants.FollowsSilently, "test_what_follows_is_heard", {}),
    (
        followup_mutants.FollowsInASecondStep,
        "test_no_reader_sees_an_end_without_its_followers",
        {},
    ),
    *(
        (subscription_mutants.deaf_to("settle"), TOLD, {"way": way})
        for way in subscriptions.WAYS[:3]
    ),
    *(
        (subscription_mutants.deaf_to("execute"), TOLD, {"way": way})
        for way in subscriptions.WAYS[3:5]
    ),
    *(
        (subscription_mutants.deaf_to("sweep"), TOLD, {"way": way})
        for way in subscriptions.WAYS[5:7]
    ),
    (subscription_mutants.deaf_to("claim"), TOLD, {"way": subscriptions.WAYS[7]}),
    (subscription_mutants.deaf_to("save_details"), TOLD, {"way": subscriptions.WAYS[8]}),
    (subscription_mutants.TellsTooEarly, "test_the_news_can_be_read_when_they_are_told", {}),
    (subscription_mutants.TellsOfAll, "test_news_are_of_queues_that_are_followed", {}),
    (subscription_mutants.TellsOfEveryKind, "test_each_is_told_of_the_kinds_that_it_asked_for", {}),
    (subscription_mutants.NeverStopsTelling, "test_who_has_closed_is_told_nothing", {}),
]
"""What follows, and who is told."""

BROKEN_OF_CHANGES: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (change_mutants.NeverIntoThePast, MOMENT, {"state": State.PENDING, "moment": NOW - 1_000}),
    (change_mutants.NeverEarlier, MOMENT, {"state": State.RETRY, "moment": NOW + 1}),
    *(
        (change_mutants.losing(next(iter(each))), CHANGED, {"state": State.DEAD})
        for each in CHANGES
    ),
    (
        change_mutants.BringsBackAsNew,
        "test_what_was_discarded_comes_back_as_it_was",
        {"state": State.RETRY},
    ),
    (change_mutants.BringsBackAsNew, "test_what_comes_back_goes_to_its_place", {}),
    (change_mutants.BringsBackAsNew, "test_what_was_not_discarded_does_not_come_back", {}),
    (
        change_mutants.ArchivesForGood,
        "test_a_discarded_task_is_kept_and_says_what_it_was",
        {"state": State.PENDING},
    ),
    (change_mutants.ArchivesForGood, "test_to_discard_a_task_twice_changes_nothing", {}),
    (change_mutants.losing("payload"), "test_a_dead_task_is_mended_and_run", {}),
    (change_mutants.ChangesTheWordsOnly, "test_a_new_expiry_holds", {}),
    (
        change_mutants.ChangesTheWordsOnly,
        "test_a_task_of_another_priority_goes_behind_its_equals",
        {},
    ),
    (change_mutants.KeepsItsPlace, "test_a_task_of_another_priority_goes_behind_its_equals", {}),
    (
        brokers.LetsGoOfOthers,
        "test_a_changed_task_keeps_its_key",
        {"state": State.PENDING, "order": Rescheduled(NOW + 60)},
    ),
]
"""Another moment, other strategies."""


def a_suite(broker: type[MemoryBroker], **attributes: object) -> Any:
    """Return an instance of the contract for a broken broker, to run cases of by hand."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker(keep=keep)

    return type(
        "Suite", (BrokerContract, UniqueContract), {"make_broker": make_broker, **attributes}
    )()


BROKEN_OF_QUEUES: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (queue_removal_mutants.RemovesWhatHasTasks, "test_a_queue_that_has_a_task_is_not_removed", {}),
    (queue_removal_mutants.RemovesWhatHasEnded, "test_a_queue_that_has_a_task_is_not_removed", {}),
    (queue_removal_mutants.RemovesNothing, "test_nothing_is_left_of_a_removed_queue", {}),
    (
        queue_removal_mutants.ForgetsTokensOfTheRemoved,
        "test_a_lease_of_a_removed_queue_does_not_fit_a_later_one",
        {},
    ),
    (queue_removal_mutants.RemovesNamesakes, "test_other_queues_stay", {}),
    (brokers.KnowsNoTypos, "test_what_is_no_state_is_refused", {}),
    (brokers.KnowsNoTexts, "test_a_state_may_be_given_as_its_text", {}),
    (
        brokers.GoesOnBehindItsLast,
        "test_pages_go_on_though_their_last_task_moves",
        {"moved_to": 9},
    ),
    (
        brokers.GoesOnBehindItsLast,
        "test_pages_go_on_though_the_lease_of_their_last_task_is_renewed",
        {},
    ),
    (brokers.SharesHeaders, "test_what_is_changed_after_it_was_asked_for_is_not_stored", {}),
]


@pytest.mark.parametrize(
    ("broker", "case", "given"),
    [*BROKEN, *BROKEN_OF_RUNS, *BROKEN_OF_NEWS, *BROKEN_OF_CHANGES, *BROKEN_OF_QUEUES],
)
def test_a_broken_broker_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str, given: dict[str, object]
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    run: Callable[..., None] = getattr(a_suite(MemoryBroker), case)
    run(**given)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(a_suite(broker, patience=0.05), case)(**given)


def test_a_blocking_suite_refuses_a_suspension() -> None:
    """A case that awaits a broker that suspends fails in a blocking suite alone."""
    case = "test_states_and_queues_with_nothing_are_left_out"
    getattr(a_suite(brokers.Suspends), case)()
    with pytest.raises(pytest.fail.Exception, match="suspended"):
        getattr(a_suite(brokers.Suspends, blocking=True), case)()
