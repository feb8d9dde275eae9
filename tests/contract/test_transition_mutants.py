"""The contract fails where more of a task changes, or less of a batch, than was asked for."""

import pytest

from qcore.adapters.memory import MemoryBroker
from tests.contract import transition_mutants as mutants
from tests.contract.test_mutants import a_suite

VERDICT = "test_a_verdict_changes_nothing_else"
COMMAND = "test_a_command_changes_nothing_else"

BROKEN: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (mutants.SnoozesWithoutHeaders, VERDICT, {}),
    (mutants.CrashesWithoutSavedWork, VERDICT, {}),
    (mutants.CrashesWithoutSavedWork, "test_a_lost_worker_changes_nothing_else", {}),
    (mutants.CancelsAttempts, VERDICT, {}),
    (mutants.CancelsAttempts, COMMAND, {}),
    (mutants.ReschedulesWithoutCrashes, COMMAND, {}),
    (mutants.UpdatesWithoutErrors, COMMAND, {}),
    (mutants.ArchivesWithoutHeaders, COMMAND, {}),
    (mutants.ExtendsAThousand, "test_a_batch_of_renewals_is_answered_in_order", {}),
    (mutants.ExtendsOnly, "test_a_lease_ends_at_any_moment", {}),
    (mutants.SavesQueueByQueue, "test_a_batch_for_queues_in_turn_is_answered_in_order", {}),
    (mutants.SweepsTheLastForMore, "test_there_is_more_where_one_queue_has_more", {}),
    (mutants.CutsKeys, "test_keys_that_look_alike_are_different", {}),
    (mutants.FollowsPlainly, "test_what_follows_is_admitted_as_by_enqueue", {}),
    (mutants.CutsReasons, "test_texts_may_be_as_long_as_is_documented", {"letter": "x"}),
    (
        mutants.WritesWhenCancelled,
        "test_what_a_cancelled_call_has_not_written_it_never_writes",
        {"steps": 2},
    ),
    (mutants.HearsOnce, "test_a_subscription_is_one_s_own", {}),
]


@pytest.mark.parametrize(("broker", "case", "given"), BROKEN)
def test_a_broker_that_changes_too_much_or_too_little_fails(
    broker: type[MemoryBroker], case: str, given: dict[str, object]
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    getattr(a_suite(MemoryBroker), case)(**given)
    with pytest.raises(AssertionError):
        getattr(a_suite(broker, patience=0.05), case)(**given)
