"""The cases of `restore` can fail: each broken broker here fails the case named after it."""

from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.new_task import REPLACE
from qcore.domain.states import State
from qcore.testing.builders import NOW, a_stored_task
from qcore.testing.contract import (
    BrokerContract,
    GroupContract,
    StatisticsContract,
    UniqueContract,
)
from tests.contract import restore_mutants as mutants

PAST = "test_a_task_with_a_past_is_restored_as_it_was"
GOES_ON = "test_a_restored_task_goes_on_where_it_was"
NOT_OVER = "test_what_is_stored_is_not_restored_over"
BACK = "test_what_was_set_aside_is_put_back"

BROKEN: list[tuple[type[MemoryBroker], str, dict[str, object]]] = [
    (mutants.ForgetsAttempts, PAST, {"state": State.RETRY}),
    (mutants.ForgetsAttempts, GOES_ON, {}),
    (mutants.ForgetsResults, "test_a_restored_result_comes_back_unchanged", {}),
    (mutants.CreatesAnew, PAST, {"state": State.PENDING}),
    (mutants.CreatesAnew, "test_a_restored_task_has_its_key_for_the_rest_of_its_time", {}),
    (mutants.RunsAtOnce, "test_restored_tasks_are_due_in_the_order_of_their_moments", {}),
    (mutants.TakesARunForACrash, "test_what_was_active_is_restored_as_pending", {}),
    (mutants.KeepsActive, "test_what_was_active_is_restored_as_pending", {}),
    (mutants.EndsAnew, "test_a_restored_success_is_kept_for_the_rest_of_its_retention", {}),
    (mutants.EndsAnew, "test_a_restored_failure_is_kept_as_long_as_others", {}),
    (mutants.ForgetsPriorities, "test_restored_tasks_are_claimed_in_the_order_given", {}),
    (mutants.RestoresBackwards, "test_restored_tasks_are_claimed_in_the_order_given", {}),
    (mutants.RestoresBackwards, "test_of_one_id_twice_the_first_is_restored", {}),
    (mutants.ForgetsDetails, PAST, {"state": State.DEAD}),
    (mutants.ForgetsDetails, GOES_ON, {}),
    (mutants.ReplacesWhatHasEnded, NOT_OVER, {"state": State.COMPLETED}),
    (mutants.ReplacesWhatHasEnded, "test_to_restore_again_changes_nothing", {}),
    (mutants.RestoresOverWhatIsAside, "test_nothing_else_is_restored_over", {}),
    (mutants.RestoresOverNothing, BACK, {"aside": State.DEAD, "reason": ""}),
    (mutants.StopsAtTheFirstConflict, NOT_OVER, {"state": State.PENDING}),
    (mutants.RestoresSilently, "test_what_is_restored_is_heard", {"task": a_stored_task()}),
    (mutants.TakesNoKeys, "test_a_restored_task_has_its_key", {"state": State.PENDING}),
    (mutants.TakesKeysForEver, "test_a_restored_task_has_its_key_for_the_rest_of_its_time", {}),
    (
        mutants.TakesKeysOfOthers,
        "test_a_key_that_another_has_is_not_taken_from_it",
        {"mode": REPLACE},
    ),
    (mutants.ForgetsThatItWaits, "test_a_pair_is_restored_as_a_pair", {}),
    (
        mutants.ForgetsThatItWaits,
        "test_a_restored_successor_is_due_when_the_other_has_ended",
        {"due": None, "expected": NOW - 600},
    ),
    (mutants.ForgetsGroups, "test_a_restored_member_waits_in_its_group", {}),
    (mutants.CountsWhatIsRestored, "test_what_is_restored_is_not_counted", {}),
]


def a_suite(broker: type[MemoryBroker], **attributes: object) -> Any:
    """Return an instance of the contracts, to run cases of by hand."""
    bases = (BrokerContract, UniqueContract, GroupContract, StatisticsContract)
    attributes["make_broker"] = lambda _, keep: broker(keep=keep)
    return type("Suite", bases, attributes)()


@pytest.mark.parametrize(("broker", "case", "given"), BROKEN)
def test_a_broker_that_restores_badly_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str, given: dict[str, object]
) -> None:
    """The case passes on the memory broker and fails on the broken one."""
    getattr(a_suite(MemoryBroker), case)(**given)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(a_suite(broker, patience=0.05), case)(**given)
