"""What a tick does."""

from math import floor
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.errors import InvalidTask
from qcore.domain.ids import tick_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.editing import (
    DECLARED_FOR,
    added,
    declared,
    paused,
    renewed,
    resumed,
    run_by_hand,
)
from qcore.domain.periodic.entry import KEPT_HISTORY, MAX_CATCH_UP, Entry, StoredEntry, TickRecord
from qcore.domain.periodic.passed import Passed, passed_ticks
from qcore.domain.periodic.tick import Tick, tick_in
from qcore.domain.periodic.ticking import STALE_KEPT, WAIT, decide
from qcore.testing.builders import NOW, a_task
from qcore.testing.entries import MINUTELY, EverySoOften, an_entry

AT = NOW + 60
"""The first tick of an entry that is added at `NOW`."""


def stored(change: EntryChange | None) -> StoredEntry:
    """Return the entry of a change."""
    assert change is not None
    assert change.entry is not None
    return change.entry


def an_added(**options: Any) -> StoredEntry:
    """Return an entry that was added at `NOW`."""
    return stored(added(None, an_entry(**options), MINUTELY, NOW))


def ticks(change: EntryChange | None) -> list[Moment]:
    """Return the instants of the tasks that a change brings, seconds after `NOW`."""
    assert change is not None
    found = [tick_in(task.headers) for task in change.tasks]
    return [tick.at - NOW for tick in found if tick is not None]


def first_task(change: EntryChange | None) -> NewTask:
    """Return the first task that a change brings."""
    assert change is not None
    return change.tasks[0]


def notes(change: EntryChange | None) -> list[str | None]:
    """Return the notes in the history of the entry of a change."""
    return [record.note for record in stored(change).state.history]


def decided(
    entry: StoredEntry, seconds: float, *, lives: bool = False, schedule: Any = MINUTELY
) -> EntryChange | None:
    """Return what is decided of an entry, seconds after `NOW`."""
    return decide(entry, schedule, now=NOW + seconds, lives=lives)


def test_a_tick_makes_the_task_for_its_instant() -> None:
    """With an id that follows from it, and the entry goes on to the next."""
    change = decided(an_added(), 60.5)
    assert change is not None
    [task] = change.tasks
    assert task.id == tick_id("report", AT) == "report@2027-01-15T08:01:00Z"
    assert tick_in(task.headers) == Tick("report", AT, 0.5, is_late=False)
    state = stored(change).state
    assert (state.after, state.next, state.wake) == (AT, AT + 60, AT + 60)
    assert (state.runs, state.last_task) == (1, task.id)
    assert state.history == (TickRecord(AT, 0.5, task.id),)


def test_before_its_moment_nothing_is_done() -> None:
    """Nor to an entry that has no next tick."""
    assert decided(an_added(), 59.999) is None
    assert decided(stored(paused(an_added())), 600) is None


@pytest.mark.parametrize(
    ("missed", "run", "note"),
    [
        ("one", [300], "missed: 4 ticks"),
        ("all", [60, 120, 180, 240, 300], None),
        ("skip", [300], "missed: 4 ticks"),
    ],
)
def test_ticks_that_passed_unseen_are_made_up_for_as_asked(
    missed: str, run: list[float], note: str | None
) -> None:
    """The last of them is on time here."""
    change = decided(an_added(missed=missed), 330)
    assert ticks(change) == run
    assert notes(change)[0] == note
    assert stored(change).state.next == NOW + 360


def test_a_late_tick_is_left_out_where_missed_ones_are_skipped() -> None:
    """Late is what is later than the grace; the entry goes on, and its history tells."""
    entry = stored(added(None, an_entry(missed="skip"), EverySoOften(3_600), NOW))
    on_time = decided(entry, 3_660, schedule=EverySoOften(3_600))
    late = decided(entry, 3_661, schedule=EverySoOften(3_600))
    assert ticks(on_time) == [3_600]
    assert ticks(late) == []
    assert stored(late).state.history == (TickRecord(NOW + 3_600, 61.0, None, "missed: 1 tick"),)
    assert stored(late).state.next == NOW + 7_200


def test_a_task_knows_that_it_is_late() -> None:
    """And by how much."""
    task = first_task(decided(an_added(missed="all", grace=100.0), 180))
    assert tick_in(task.headers) == Tick("report", AT, 120.0, is_late=True)


def test_of_more_ticks_than_are_kept_the_history_still_counts_those_left_out() -> None:
    """With the first of them that it keeps."""
    change = decided(an_added(missed="all"), 150 * 60)
    assert len(ticks(change)) == MAX_CATCH_UP
    assert notes(change) == ["missed: 50 ticks", *[None] * (KEPT_HISTORY - 1)]


def test_what_is_made_up_for_is_bounded() -> None:
    """The last ones are, and the history counts the others."""
    change = decided(an_added(missed="all", catch_up=2), 330)
    assert ticks(change) == [240, 300]
    assert notes(change) == ["missed: 3 ticks", None]
    after_a_year = decided(an_added(missed="all"), 365 * 86_400)
    assert len(ticks(after_a_year)) == 100
    assert ticks(after_a_year)[-1] == 365 * 86_400
    assert notes(after_a_year)[0] == "missed: more than 100 ticks"
    assert len(notes(after_a_year)) == KEPT_HISTORY


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue"])
def test_a_tick_minds_the_last_task_as_asked(overlap: str) -> None:
    """It does not, or it is left out, or it waits and looks again soon."""
    first = stored(decided(an_added(overlap=overlap), 60))
    second = decided(first, 120, lives=True)
    state = stored(second).state
    match overlap:
        case "allow":
            assert ticks(second) == [120]
        case "skip":
            assert ticks(second) == []
            assert notes(second)[-1] == f"skipped: {tick_id('report', AT)} still lives"
            assert (state.next, state.last_task) == (NOW + 180, tick_id("report", AT))
        case _:
            assert ticks(second) == []
            assert (state.is_waiting, state.next, state.wake) == (True, NOW + 120, NOW + 120 + WAIT)
            assert ticks(decided(stored(second), 150)) == [120]


def test_a_tick_that_waits_is_not_missed() -> None:
    """However late it is when the last task ends; of several, the last one runs."""
    first = stored(decided(an_added(overlap="queue", missed="skip"), 60))
    waiting = stored(decided(first, 120, lives=True))
    waiting = stored(decided(waiting, 122, lives=True))
    released = decided(waiting, 335)
    assert ticks(released) == [300]
    assert notes(released)[-1] == "missed: 3 ticks"
    assert not stored(released).state.is_waiting


def test_ticks_that_queue_run_one_after_the_other() -> None:
    """Where all of them are to be made up for."""
    entry = stored(decided(an_added(overlap="queue", missed="all"), 60))
    run: list[float] = []
    for seconds in (200, 201, 202):
        change = decided(entry, seconds)
        if change is not None:
            run += ticks(change)
            entry = stored(change)
    assert run == [120, 180]
    assert entry.state.next == NOW + 240


def test_where_overlaps_are_skipped_one_of_the_missed_is_made_up_for() -> None:
    """All at once would overlap."""
    assert ticks(decided(an_added(overlap="skip", missed="all"), 300)) == [300]


def test_after_a_clock_was_set_back_no_tick_comes_twice() -> None:
    """The entry remembers the last instant that ticked, and goes on from there."""
    ahead = stored(decided(an_added(), 3_660))
    assert ahead.state.after == NOW + 3_660
    assert decided(ahead, 120) is None
    assert ticks(decided(ahead, 3_720)) == [3_720]
    forced = evolve(ahead, state=evolve(ahead.state, wake=NOW))
    again = decided(forced, 120)
    assert ticks(again) == []
    assert stored(again).state.wake == NOW + 3_720


def test_a_schedule_that_reads_otherwise_is_followed_as_it_reads_now() -> None:
    """As with new data of its zone: what it had said of the next tick does not count."""
    entry = an_added()
    assert ticks(decided(entry, 61, schedule=EverySoOften(7))) == [floor((NOW + 61) / 7) * 7 - NOW]
    later = decided(entry, 61, schedule=EverySoOften(3_600))
    assert ticks(later) == []
    assert stored(later).state.next == NOW + 3_600


def test_start_and_end_bound_the_ticks() -> None:
    """A tick may be at the start; none is at the end."""
    entry = an_added(start=NOW + 120, end=NOW + 240, missed="all")
    assert entry.state.next == NOW + 120
    change = decided(entry, 600)
    assert ticks(change) == [120, 180]
    assert (stored(change).state.next, stored(change).state.wake) == (None, None)


def test_after_so_many_runs_no_tick_is_to_come() -> None:
    """Those that are made up for count."""
    change = decided(an_added(max_runs=3, missed="all"), 600)
    assert ticks(change) == [480, 540, 600]
    assert stored(change).state.next is None
    assert stored(decided(an_added(max_runs=2), 60)).state.next == NOW + 120


def test_jitter_delays_a_tick_always_by_as_much() -> None:
    """The instant stays, and what it delays is not late; entries differ."""
    entry, other = an_added(jitter=30.0), an_added(id="other", jitter=30.0)
    wake = entry.state.wake
    assert wake is not None
    assert AT < wake < AT + 30
    assert wake == an_added(jitter=30.0).state.wake != other.state.wake
    task = first_task(decide(entry, MINUTELY, now=wake, lives=False))
    assert tick_in(task.headers) == Tick("report", AT, 0.0, is_late=False)


def test_a_task_may_expire_some_time_after_its_tick() -> None:
    """Whenever it was made."""
    task = first_task(decided(an_added(expires_after=90.0), 70))
    assert task.expires == AT + 90


def test_a_stale_entry_does_not_tick_and_ends() -> None:
    """It is shown for a week."""
    entry = an_added(declared_by="app:report")
    until = NOW + DECLARED_FOR
    assert entry.state.declared_until == until
    assert (entry.is_stale(until - 1), entry.is_stale(until)) == (False, True)
    parked = decided(entry, DECLARED_FOR)
    assert ticks(parked) == []
    assert stored(parked).state.wake == until + STALE_KEPT
    gone = decided(stored(parked), DECLARED_FOR + STALE_KEPT)
    assert gone is not None
    assert gone.entry is None


def test_a_stale_entry_that_is_declared_again_goes_on() -> None:
    """What it has missed meanwhile is made up for as asked."""
    entry = stored(decided(an_added(declared_by="app:report"), DECLARED_FOR))
    again = stored(declared(entry, entry.entry, MINUTELY, NOW + 600))
    assert not again.is_stale(NOW + 600)
    assert ticks(decided(again, 600)) == [600]


def test_an_entry_stands_as_it_is_declared() -> None:
    """There is nothing to write until half of the declaration's time is over."""
    entry = an_added(declared_by="app:report")
    half = NOW + DECLARED_FOR / 2
    assert declared(entry, entry.entry, MINUTELY, half) is None
    assert renewed(entry, "app:report", half) is None
    for change in (
        declared(entry, entry.entry, MINUTELY, half + 1),
        renewed(entry, "app:report", half + 1),
    ):
        state = stored(change).state
        assert state.declared_until == half + 1 + DECLARED_FOR
        assert (state.next, state.wake) == (AT, AT)


def test_only_who_declares_an_entry_renews_it() -> None:
    """Not one that was added by hand, nor one that other code has taken over."""
    entry = an_added(declared_by="app:report")
    late = NOW + DECLARED_FOR
    assert renewed(entry, "app:other", late) is None
    assert renewed(an_added(), "app:report", late) is None
    assert renewed(None, "app:report", late) is None


def test_a_changed_schedule_goes_on_from_now() -> None:
    """What the old one has missed is over; its runs and its history stay."""
    entry = stored(decided(an_added(), 60))
    changed = stored(added(entry, an_entry(schedule="other"), EverySoOften(7), NOW + 600))
    assert changed.state.after == NOW + 600
    assert (changed.state.runs, changed.state.history) == (1, entry.state.history)
    same = stored(added(entry, an_entry(overlap="skip"), MINUTELY, NOW + 600))
    assert (same.state.after, same.state.next) == (AT, AT + 60)


def test_a_paused_entry_goes_on_from_when_it_is_resumed() -> None:
    """What it has missed while it was paused is over; to declare it does not resume it."""
    entry = stored(paused(an_added(declared_by="app:report", missed="all")))
    assert decided(entry, 120) is None
    assert stored(declared(entry, entry.entry, MINUTELY, NOW + 200)).state.is_paused
    again = stored(resumed(entry, MINUTELY, NOW + 250))
    assert (again.state.is_paused, again.state.next) == (False, NOW + 300)
    assert stored(resumed(again, MINUTELY, NOW + 900)).state == again.state


def test_an_entry_is_run_by_hand_beside_its_schedule() -> None:
    """Also while it is paused; its history tells, and its runs do not count it."""
    entry = stored(paused(an_added(max_runs=1, expires_after=9.0)))
    change = run_by_hand(entry, NOW + 7)
    [task] = change.tasks
    assert (task.id, task.expires) == ("report@2027-01-15T08:00:07Z+run", NOW + 16)
    assert tick_in(task.headers) is None
    state = stored(change).state
    assert (state.runs, state.last_task, state.is_paused) == (0, task.id, True)
    assert state.history == (TickRecord(NOW + 7, 0.0, task.id, "run by hand"),)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "a b"}, "id is 'a b'"),
        ({"id": "a" * 201}, "1 to 200"),
        ({"schedule": ""}, "schedule is ''"),
        ({"missed": "some"}, "'skip' or 'one' or 'all'"),
        ({"overlap": "wait"}, "overlap is 'wait'"),
        ({"catch_up": 101}, "1 to 100"),
        ({"grace": -1}, "grace"),
        ({"jitter": float("nan")}, "jitter"),
        ({"start": NOW, "end": NOW}, "is not after start"),
        ({"max_runs": 0}, "max_runs"),
        ({"expires_after": 0}, "expires_after"),
        ({"declared_by": ""}, "declared_by"),
        ({"task": {"due": NOW}}, "due of the periodic task 'report'"),
        ({"task": {"expires": NOW}}, "expires_after"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(options: dict[str, Any], said: str) -> None:
    """With the value that is wrong, and what was expected."""
    with pytest.raises(InvalidTask, match=said):
        an_entry(**options)


def test_an_entry_is_named_after_its_task() -> None:
    """So is its queue."""
    entry = Entry(a_task(id="nightly", queue="reports"), "* * * * *")
    assert (entry.id, entry.queue) == ("nightly", "reports")


class Ragged:
    """A schedule with bursts: ticks at given moments."""

    def __init__(self, moments: set[float]) -> None:
        self.moments = sorted(moments)

    def after(self, moment: Moment) -> Moment | None:
        """Return the first that is later."""
        return next((each for each in self.moments if each > moment), None)


@given(
    moments=st.sets(st.integers(0, 2_000).map(float), max_size=400),
    after=st.integers(0, 2_000).map(float),
    until=st.integers(0, 2_000).map(float),
    most=st.integers(1, 100),
)
def test_the_ticks_that_have_passed_are_the_last_ones(
    moments: set[float], after: float, until: float, most: int
) -> None:
    """However the schedule is, and however many they are."""
    passed = passed_ticks(Ragged(moments), after, until, most)
    all_of_them = sorted(each for each in moments if after < each <= until)
    expected = tuple(all_of_them[-most:])
    assert passed.ticks == expected
    if len(all_of_them) <= 100:
        assert passed == Passed(expected, max(0, len(all_of_them) - most))
    else:
        assert (passed.before, passed.is_more) == (100, True)
