"""What a tick does: a pure function of an entry, the time, and whether its last task lives."""

from hashlib import sha256
from math import nextafter
from typing import Final

from attrs import evolve

from qcore.domain.ids import tick_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import KEEP, NewTask
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.entry import (
    KEPT_HISTORY,
    MISSED,
    Entry,
    EntryState,
    StoredEntry,
    TickRecord,
    Ticks,
)
from qcore.domain.periodic.passed import Passed, passed_ticks
from qcore.domain.periodic.tick import Tick, with_tick

WAIT: Final = 2.0
"""Seconds after which a tick that waits for the end of the last task looks again, at first."""
WAIT_SHARE: Final = 0.1
"""The share of the time that it has waited after which it looks again."""
LONGEST_WAIT: Final = 60.0
STALE_KEPT: Final = 7 * 86_400.0
"""Seconds for which an entry is shown that no code declares any more, before it is removed."""


def decide(stored: StoredEntry, schedule: Ticks, *, now: Moment, lives: bool) -> EntryChange | None:
    """Return what is to become of an entry now; None where there is nothing to do.

    `lives` says whether the last task that it made has not ended. The ids of the tasks follow from
    the entry and the instants, so that to decide twice enqueues once.
    """
    state = stored.state
    if state.wake is None or state.wake > now:
        return None
    if stored.is_stale(now):
        return _stale(stored, now)
    passed = passed_ticks(
        schedule, _counted_from(stored.entry, state), _end(stored.entry, now), _most(stored)
    )
    if not passed.ticks:
        # the clock was set back, or the schedule reads otherwise by new data of its zone
        return changed(stored, scheduled(stored.entry, state, schedule))
    if lives and stored.entry.overlap == "queue":
        return changed(stored, evolve(state, is_waiting=True, wake=now + _wait(passed, now)))
    return _ticked(stored, schedule, passed, now, lives=lives)


def _wait(passed: Passed, now: Moment) -> float:
    """Return the seconds after which a tick that waits looks again."""
    return min(max(WAIT, (now - passed.ticks[0]) * WAIT_SHARE), LONGEST_WAIT)


def _stale(stored: StoredEntry, now: Moment) -> EntryChange:
    """Remove an entry that has been stale for long; else look again when that will be."""
    gone_at = (stored.state.declared_until or now) + STALE_KEPT
    if gone_at <= now:
        return removal(stored)
    return changed(stored, evolve(stored.state, wake=gone_at))


def _ticked(
    stored: StoredEntry, schedule: Ticks, passed: Passed, now: Moment, *, lives: bool
) -> EntryChange:
    entry, state = stored.entry, stored.state
    run, note = _to_run(entry, state, passed.ticks, now), None
    if lives and entry.overlap == "skip":
        run, note = (), f"skipped: {state.last_task} still lives"
    # of several that wait, each waits for the end of the one before
    queued = entry.overlap == "queue" and entry.missed == "all"
    seen_to = passed.ticks[0 if queued else -1]
    tasks = tuple(task_of(entry, tick, now) for tick in run)
    missed = 0 if note else _missed(run, passed, seen_to)
    note = note or _missed_note(missed, passed)
    records = _records(entry, run, note, seen_to, now)
    after = evolve(
        state,
        after=max(seen_to, state.after),
        runs=state.runs + len(tasks),
        last_task=tasks[-1].id if tasks else state.last_task,
        is_waiting=False,
        history=(*state.history, *records)[-KEPT_HISTORY:],
    )
    return evolve(changed(stored, scheduled(entry, after, schedule), tasks), missed=missed)


def _to_run(
    entry: Entry, state: EntryState, ticks: tuple[Moment, ...], now: Moment
) -> tuple[Moment, ...]:
    """Return those of the ticks that have passed for which a task is to be made."""
    if entry.missed == "all" and entry.overlap != "skip":
        return ticks[:1] if entry.overlap == "queue" else ticks
    last = ticks[-1:]
    # one that was on time, and has waited for the last task since, was not missed
    may_be_missed = entry.missed == "skip" and not state.is_waiting
    return () if may_be_missed and _lateness(entry, last[0], now) > entry.grace else last


def _missed(run: tuple[Moment, ...], passed: Passed, seen_to: Moment) -> int:
    """Return how many ticks are left out as missed."""
    return passed.before + sum(each <= seen_to for each in passed.ticks) - len(run)


def _missed_note(number: int, passed: Passed) -> str | None:
    """Return how many ticks were left out as missed, in words; None if none was."""
    if not number:
        return None
    more = "more than " if passed.is_more else ""
    return f"{MISSED}: {more}{number} tick{'' if number == 1 else 's'}"


def _records(
    entry: Entry, run: tuple[Moment, ...], note: str | None, seen_to: Moment, now: Moment
) -> list[TickRecord]:
    """Return what the history keeps: one for each task, or one for all the ticks without any."""
    if not run:
        return [TickRecord(seen_to, _lateness(entry, seen_to, now), note=note)]
    kept = run[-KEPT_HISTORY:]
    return [
        TickRecord(at, _lateness(entry, at, now), tick_id(entry.id, at), note if n == 0 else None)
        for n, at in enumerate(kept)
    ]


def task_of(entry: Entry, at: Moment, now: Moment) -> NewTask:
    """Return the task that an entry makes for an instant.

    One of its id that is stored is kept, even one that has ended: it is of the same tick.
    """
    late_by = _lateness(entry, at, now)
    tick = Tick(entry.id, at, late_by, late_by > entry.grace)
    expires = None if entry.expires_after is None else at + entry.expires_after
    return evolve(
        entry.task,
        id=tick_id(entry.id, at),
        expires=expires,
        on_conflict=KEEP,
        headers=with_tick(entry.task.headers, tick),
    )


def scheduled(entry: Entry, state: EntryState, schedule: Ticks) -> EntryState:
    """Return a state with the next tick, and when to look at it."""
    ends = entry.max_runs is not None and state.runs >= entry.max_runs
    upcoming = None if ends else schedule.after(_counted_from(entry, state))
    if upcoming is not None and entry.end is not None and upcoming >= entry.end:
        upcoming = None
    return with_wake(entry, evolve(state, next=upcoming))


def with_wake(entry: Entry, state: EntryState) -> EntryState:
    """Return a state with the moment at which to look at it.

    One that code declares is looked at when it has been stale for long, if nothing comes before:
    then it is removed.
    """
    if state.next is None or state.is_paused:
        until = state.declared_until
        return evolve(state, wake=None if until is None else until + STALE_KEPT)
    return evolve(state, wake=state.next + _offset(entry, state.next))


def changed(stored: StoredEntry, state: EntryState, tasks: tuple[NewTask, ...] = ()) -> EntryChange:
    """Return the change of an entry's state."""
    after = StoredEntry(stored.entry, state)
    return EntryChange(stored.queue, stored.id, stored.revision, after, tasks)


def removal(stored: StoredEntry) -> EntryChange:
    """Return the change that removes an entry."""
    return EntryChange(stored.queue, stored.id, stored.revision, None)


def _counted_from(entry: Entry, state: EntryState) -> Moment:
    """Return the moment after which the next tick comes."""
    if entry.start is None:
        return state.after
    # a tick may be at the start itself
    return max(state.after, nextafter(entry.start, 0.0))


def _end(entry: Entry, now: Moment) -> Moment:
    """Return the last moment at which a tick may have passed."""
    return now if entry.end is None else min(now, nextafter(entry.end, 0.0))


def _most(stored: StoredEntry) -> int:
    """Return how many of the ticks that have passed may be run."""
    entry, runs = stored.entry, stored.state.runs
    most = entry.catch_up if entry.missed == "all" else 1
    return most if entry.max_runs is None else max(1, min(most, entry.max_runs - runs))


def _lateness(entry: Entry, at: Moment, now: Moment) -> float:
    return max(0.0, now - at - _offset(entry, at))


def _offset(entry: Entry, at: Moment) -> float:
    """Return the jitter of a tick: even over entries and instants, and the same for everybody."""
    if not entry.jitter:
        return 0.0
    digest = sha256(f"{entry.queue}\0{entry.id}\0{float(at)!r}".encode()).digest()
    return entry.jitter * int.from_bytes(digest[:6]) / 2**48
