"""How entries are declared, changed, paused and run by hand: pure functions, as `decide` is."""

from typing import Final

from attrs import evolve

from qcore.domain.answers import Duplicate
from qcore.domain.ids import run_now_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import KEEP
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.entry import (
    KEPT_HISTORY,
    Entry,
    EntryState,
    FoundEntry,
    StoredEntry,
    TickRecord,
    Ticks,
)
from qcore.domain.periodic.ticking import changed, scheduled, with_wake
from qcore.domain.text import storable

MAX_WHY: Final = 200
"""Characters of why the store has refused a task that the history keeps."""
DECLARED_FOR: Final = 300.0
"""Seconds for which a declaration counts, unless it is renewed."""


def added(
    found: FoundEntry | None,
    entry: Entry,
    schedule: Ticks,
    now: Moment,
    *,
    declared_for: float | None = DECLARED_FOR,
) -> EntryChange:
    """Return the change that puts an entry in the place of what lies under its id.

    Of an entry that is there, its ticks, its runs and its history are kept, and whether it is
    paused. With another schedule it goes on from now: what the old one has missed is over. What
    code declares counts for `declared_for` seconds, unless it is renewed; None for ever, where the
    store ends with the code.
    """
    seen = None if found is None else found.revision
    if isinstance(found, StoredEntry):
        state = _carried_over(found, entry, now)
    else:
        state = EntryState(after=now)
    lasts = entry.declared_by is None or declared_for is None
    until = None if lasts else now + (declared_for or 0.0)
    state = scheduled(entry, evolve(state, declared_until=until), schedule)
    return EntryChange(entry.queue, entry.id, seen, StoredEntry(entry, state))


def _carried_over(found: StoredEntry, entry: Entry, now: Moment) -> EntryState:
    old = found.entry
    if (old.schedule, old.start, old.end) == (entry.schedule, entry.start, entry.end):
        return found.state
    return evolve(found.state, after=max(found.state.after, now), is_waiting=False)


def declared(
    found: FoundEntry | None,
    entry: Entry,
    schedule: Ticks,
    now: Moment,
    *,
    declared_for: float | None = DECLARED_FOR,
) -> EntryChange | None:
    """Return the change by which code declares an entry; None where it stands as it is declared.

    That it is paused stays. Its declaration is renewed when less than half of its time is left.
    """
    change = added(found, entry, schedule, now, declared_for=declared_for)
    if not isinstance(found, StoredEntry) or change.entry is None or found.entry != entry:
        return change
    as_it_was = evolve(change.entry.state, declared_until=found.state.declared_until)
    is_as_declared = with_wake(entry, as_it_was) == with_wake(entry, found.state)
    return None if is_as_declared and not _needs_renewal(found, now) else change


def renewed(found: FoundEntry | None, declared_by: str, now: Moment) -> EntryChange | None:
    """Return the change by which code goes on declaring what it has declared.

    None where there is no need, or where other code has declared it since, or somebody removed it.
    """
    if not isinstance(found, StoredEntry) or found.entry.declared_by != declared_by:
        return None
    if not _needs_renewal(found, now):
        return None
    state = evolve(found.state, declared_until=now + DECLARED_FOR)
    if state.next is None or state.is_paused or found.is_stale(now):
        state = with_wake(found.entry, state)
    return changed(found, state)


def _needs_renewal(found: StoredEntry, now: Moment) -> bool:
    until = found.state.declared_until
    return until is not None and until - now < DECLARED_FOR / 2


def paused(stored: StoredEntry) -> EntryChange:
    """Return the change that keeps an entry from ticking until it is resumed."""
    return changed(stored, with_wake(stored.entry, evolve(stored.state, is_paused=True)))


def resumed(stored: StoredEntry, schedule: Ticks, now: Moment) -> EntryChange:
    """Return the change that lets an entry tick again, from now on: what was paused is not missed.

    One that is not paused stays as it is.
    """
    if not stored.state.is_paused:
        return changed(stored, stored.state)
    after = max(stored.state.after, now)
    state = evolve(stored.state, is_paused=False, is_waiting=False, after=after)
    return changed(stored, scheduled(stored.entry, state, schedule))


def run_by_hand(stored: StoredEntry, now: Moment) -> EntryChange:
    """Return the change that makes a task of an entry now, beside its schedule.

    It is made whatever the entry's overlap, and also while it is paused; `max_runs` does not count
    it.
    """
    entry, state = stored.entry, stored.state
    expires = None if entry.expires_after is None else now + entry.expires_after
    task = evolve(entry.task, id=run_now_id(entry.id, now), expires=expires, on_conflict=KEEP)
    note = TickRecord(now, 0.0, task.id, "run by hand")
    history = (*state.history, note)[-KEPT_HISTORY:]
    return changed(stored, evolve(state, last_task=task.id, history=history), (task,))


def refused(change: EntryChange, entry: StoredEntry, why: str) -> EntryChange:
    """Return the change of a tick without its tasks, which the store does not take."""
    state = entry.state
    ids, note = {task.id for task in change.tasks}, f"refused: {storable(why)[:MAX_WHY]}"
    records = [
        evolve(each, task=None, note=note) if each.task in ids else each for each in state.history
    ]
    state = evolve(state, runs=state.runs - len(change.tasks), history=tuple(records))
    return evolve(change, entry=evolve(entry, state=state), tasks=())


def duplicated(entry: StoredEntry, revision: str, answer: Duplicate) -> EntryChange:
    """Return the change that notes of the last tick that another task has its unique key."""
    *before, last = entry.state.history
    record = evolve(last, task=None, note=f"duplicate of {answer.id}")
    state = evolve(entry.state, runs=entry.state.runs - 1, history=(*before, record))
    return changed(evolve(entry, revision=revision), state)
