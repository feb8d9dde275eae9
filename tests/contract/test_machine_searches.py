"""The machine can fail: by chance alone it finds what a broken broker answers otherwise."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from qcore.adapters.memory import MemoryBroker
from qcore.testing.machine import broker_machine
from tests.contract import (
    broker_mutants,
    followup_mutants,
    group_mutants,
    limits_mutants,
    periodic_mutants,
    run_details_mutants,
    statistics_mutants,
)

OF_ENTRIES = ("both_have_the_same_entries", "write_entries")
OF_LIMITS = ("aggregate", "both_have_the_same_groups", "both_have_the_same_limits", "set_limit")
OF_SNAPSHOTS = ("restore", "show")
OF_RUNS = ("execute", "extend", "note")
OF_TASKS = ("both_hold_the_same", "claim", "counts_agree_with_pages", "settle", "statistics")

BUT_TASKS = (*OF_ENTRIES, *OF_LIMITS, *OF_SNAPSHOTS, "statistics")
BUT_LIMITS = (*OF_ENTRIES, *OF_SNAPSHOTS, *OF_RUNS, "statistics", "sweep", "time_comes")
BUT_ENTRIES = (*OF_LIMITS, *OF_SNAPSHOTS, *OF_RUNS, *OF_TASKS)

CAUGHT: list[tuple[type[MemoryBroker], tuple[str, ...]]] = [
    (broker_mutants.IgnoresTokens, BUT_TASKS),
    (broker_mutants.ForgetsPriority, BUT_TASKS),
    (broker_mutants.IsEarly, BUT_TASKS),
    (broker_mutants.CountsInSeconds, BUT_TASKS),
    (broker_mutants.KeepsTheDeleted, BUT_TASKS),
    (broker_mutants.SweepsWithoutEnd, BUT_TASKS),
    (broker_mutants.StopsAtAConflict, BUT_TASKS),
    (broker_mutants.BurnsSnoozes, BUT_TASKS),
    (broker_mutants.LosesResults, BUT_TASKS),
    (broker_mutants.RepeatsPages, BUT_TASKS),
    (broker_mutants.CountsTooMany, BUT_TASKS),
    (broker_mutants.PutsLast, BUT_TASKS),
    (run_details_mutants.AnswersNotesBackwards, BUT_TASKS),
    (run_details_mutants.NotesWhatHasEnded, BUT_TASKS),
    (run_details_mutants.ShowsTheLatestFirst, BUT_TASKS),
    (run_details_mutants.ShowsNoTracebacks, BUT_TASKS),
    (run_details_mutants.ShowsNoLostWorkers, BUT_TASKS),
    (run_details_mutants.Bequeaths, BUT_TASKS),
    (run_details_mutants.ShowsOrdersBackwards, BUT_TASKS),
    (run_details_mutants.RecordsNobody, BUT_TASKS),
    (followup_mutants.ForgetsWhatFollows, BUT_TASKS),
    (limits_mutants.ForgetsRates, BUT_LIMITS),
    (limits_mutants.ForgetsHowManyRun, BUT_LIMITS),
    (limits_mutants.ForgetsPauses, BUT_LIMITS),
    (limits_mutants.LetsOneMoreRun, BUT_LIMITS),
    (limits_mutants.TakesInVain, BUT_LIMITS),
    (limits_mutants.PutsBack, BUT_LIMITS),
    (limits_mutants.BeginsEmpty, BUT_LIMITS),
    (limits_mutants.FillsAgain, BUT_LIMITS),
    (limits_mutants.SetsOneAlone, BUT_LIMITS),
    (limits_mutants.NeverLifts, BUT_LIMITS),
    (limits_mutants.TellsNoStarts, BUT_LIMITS),
    (limits_mutants.TellsStartsOfTheKept, BUT_LIMITS),
    (limits_mutants.LimitsAll, BUT_LIMITS),
    (group_mutants.JoinsWhenPromoted, BUT_LIMITS),
    (group_mutants.ForgetsGroups, BUT_LIMITS),
    (group_mutants.ListsOneTooMany, BUT_LIMITS),
    (group_mutants.ListsNoLast, BUT_LIMITS),
    (group_mutants.MergesWhatIsThere, BUT_LIMITS),
    (group_mutants.KeepsMembers, BUT_LIMITS),
    (group_mutants.AdmitsFirst, BUT_LIMITS),
    (group_mutants.LetsMembersGoFirst, BUT_LIMITS),
    (periodic_mutants.AddsAgain, (*BUT_ENTRIES, "work")),
    (periodic_mutants.BringsBack, (*BUT_ENTRIES, "work")),
    (periodic_mutants.BelievesAllLive, BUT_ENTRIES),
    (statistics_mutants.ForgetsTimes, OF_ENTRIES),
    (statistics_mutants.HasOneNameForAll, OF_ENTRIES),
]
"""Brokers that break a promise, and the rules and invariants that have nothing to do with it: the
fewer there are to choose from, the sooner one comes that shows the fault."""


@pytest.mark.parametrize(
    ("broker", "without"), [pytest.param(*each, id=each[0].__name__) for each in CAUGHT]
)
def test_the_machine_catches_a_broken_broker(
    broker: type[MemoryBroker], without: tuple[str, ...]
) -> None:
    """It gives an answer that the memory broker does not."""
    whole = broker_machine(lambda keep: broker(keep=keep))
    machine = type(whole.__name__, (whole,), dict.fromkeys(without))
    # found is enough: it is not made small
    once = settings(
        max_examples=2_000,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=once)
