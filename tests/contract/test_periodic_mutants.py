"""The contract of periodic tasks can fail: each broken broker fails what is named after it."""

from typing import Any

import pytest

from qcore.adapters.memory import MemoryBroker
from qcore.domain.task import RetentionPolicy
from qcore.domain.transitions import Snoozed
from qcore.ports import Broker
from qcore.testing.builders import NOW
from qcore.testing.contract import BrokerContract, PeriodicContract
from qcore.testing.contract.entry_reading import STATES
from tests.contract import periodic_mutants as mutants

Case = tuple[type[MemoryBroker], str, dict[str, object]]

LATE = "test_a_change_of_what_was_changed_since_is_a_conflict"
PLACES = "test_each_change_is_answered_at_its_place"
ONE_QUEUE = "test_a_change_that_is_not_of_one_queue_is_refused"
ONE_STEP = "test_who_looks_while_it_ticks_sees_no_half_of_it"
TEN = "test_ten_schedulers_make_one_task_for_each_tick"
STALE = "test_a_stale_tick_is_refused"
FIRST = "test_what_is_due_is_found_the_earliest_first"
OTHERS = "test_it_says_when_there_will_be_others"
GOES_ON = "test_a_tick_minds_that_the_last_task_lives"
NOTIFIED = "test_whoever_waits_for_entries_is_notified"
PAGED = "test_entries_are_listed_page_by_page"

BROKEN: list[Case] = [
    (mutants.IgnoresRevisions, LATE, {}),
    (mutants.IgnoresRevisions, TEN, {}),
    (mutants.IgnoresRevisions, STALE, {}),
    (mutants.IgnoresRevisions, "test_a_tick_whose_reply_was_lost_is_made_once", {}),
    (mutants.IgnoresRevisions, "test_within_a_batch_the_first_change_of_an_entry_is_made", {}),
    (mutants.AddsAgain, "test_an_entry_is_added_once", {}),
    (mutants.AddsAgain, "test_of_many_who_add_an_entry_at_once_one_does", {}),
    (mutants.BringsBack, "test_a_change_of_what_was_removed_since_is_a_conflict", {}),
    (mutants.EnqueuesAllTheSame, LATE, {}),
    (mutants.EnqueuesAllTheSame, STALE, {}),
    (mutants.EnqueuesAllTheSame, "test_of_many_who_change_an_entry_at_once_one_does", {}),
    (mutants.StopsAtAConflict, PLACES, {}),
    (mutants.ChecksOneByOne, ONE_QUEUE, {}),
    (mutants.TakesTasksOfOtherQueues, ONE_QUEUE, {}),
    (mutants.WritesInTwoSteps, ONE_STEP, {}),
    (mutants.LooksAndThenWrites, "test_of_many_who_change_an_entry_at_once_one_does", {}),
    (mutants.LooksAndThenWrites, TEN, {}),
    (mutants.NotifiesNobody, NOTIFIED, {}),
    (mutants.NotifiesNobody, "test_who_waits_for_work_is_notified", {}),
    (mutants.NotifiesEverybody, NOTIFIED, {}),
    (mutants.FallsOverRefusals, "test_a_task_that_is_refused_keeps_nothing_back", {}),
    (mutants.FallsOverRefusals, "test_a_task_whose_id_is_taken_is_left_to_whoever_has_it", {}),
    (mutants.RemovesQueuesWithEntries, "test_a_queue_that_has_entries_is_not_removed", {}),
    (mutants.CountsEntries, "test_entries_are_no_tasks", {}),
    (mutants.StartsRevisionsAgain, "test_no_revision_comes_twice", {}),
    (
        mutants.StartsRevisionsAgain,
        "test_an_entry_that_was_removed_and_added_again_has_other_ticks",
        {},
    ),
    (mutants.KeepsRemoved, "test_nothing_is_left_of_a_removed_entry", {}),
    (mutants.RoundsWakes, FIRST, {}),
    (mutants.RoundsWakes, OTHERS, {}),
    (mutants.ForgetsHistory, "test_how_far_it_has_come_comes_back", {"state": STATES[1]}),
    (
        mutants.HidesUnreadable,
        "test_what_cannot_be_read_is_shown_as_such",
        {"stored": b"by hand", "why": ""},
    ),
    (mutants.HidesUnreadable, "test_what_cannot_be_read_is_on_a_page", {}),
    (mutants.StopsAtUnreadable, "test_what_cannot_be_read_is_never_due", {}),
    (mutants.DueByQueue, FIRST, {}),
    (mutants.DueEverywhere, "test_only_the_queues_named_are_looked_at", {}),
    (mutants.DueWithoutEnd, FIRST, {}),
    (mutants.TellsTheFirst, OTHERS, {}),
    (mutants.BelievesAllLive, "test_a_task_that_has_ended_lives_no_more", {"retention": 0.0}),
    (mutants.BelievesAllLive, GOES_ON, {"overlap": "queue"}),
    (mutants.BelievesNoneLives, GOES_ON, {"overlap": "skip"}),
    (mutants.BelievesNoneLives, GOES_ON, {"overlap": "queue"}),
    (
        mutants.BelievesTheKeptLive,
        "test_a_task_that_has_ended_lives_no_more",
        {"retention": 3_600.0},
    ),
    (
        mutants.BelievesOnlyTheActiveLive,
        "test_a_task_that_comes_again_lives",
        {"outcome": Snoozed(NOW + 3_600)},
    ),
    (mutants.LooksInAllQueues, "test_a_task_of_another_queue_is_not_the_last", {}),
    (mutants.ListsByCase, PAGED, {}),
    (mutants.ListsTheEmptied, "test_queues_with_entries_are_listed", {}),
    (mutants.AnswersInOrderOfIds, "test_each_entry_is_answered_at_its_place", {}),
]


def a_suite(broker: type[MemoryBroker], **attributes: object) -> Any:
    """Return an instance of the contract for a broken broker, to run cases of by hand."""

    def make_broker(self: object, keep: RetentionPolicy) -> MemoryBroker:
        return broker()

    async def plant_entry(
        self: object, broker: MemoryBroker, queue: str, entry: str, stored: bytes
    ) -> None:
        broker.entry_store.put_encoded(queue, entry, stored)

    attributes |= {"make_broker": make_broker, "plant_entry": plant_entry}
    return type("Suite", (BrokerContract, PeriodicContract), attributes)()


@pytest.mark.parametrize(("broker", "case", "arguments"), BROKEN)
def test_a_broken_broker_fails_the_case_named_after_it(
    broker: type[MemoryBroker], case: str, arguments: dict[str, object]
) -> None:
    """Each keeps all but one promise, and the case of that promise notices."""
    getattr(a_suite(MemoryBroker), case)(**arguments)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(a_suite(broker, patience=0.1), case)(**arguments)


def test_a_suite_must_say_how_an_entry_is_spoiled(memory: Broker) -> None:
    """An author who does not is told so, by the case that needs it."""
    suite = type("Suite", (PeriodicContract,), {"make_broker": lambda _, keep: memory})()
    with pytest.raises(NotImplementedError, match="how an entry is spoiled"):
        suite.test_what_cannot_be_read_is_on_a_page()


@pytest.fixture
def memory() -> MemoryBroker:
    """Return a broker that is right."""
    return MemoryBroker()
