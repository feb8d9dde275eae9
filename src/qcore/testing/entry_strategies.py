"""Hypothesis strategies for entries of periodic tasks, and for changes of them."""

from typing import Any, Final, Literal

from attrs import evolve
from hypothesis import strategies as st

from qcore.domain.moments import Moment
from qcore.domain.new_task import FIELDS, NewTask
from qcore.domain.periodic.entry import Entry, EntryState, StoredEntry, TickRecord
from qcore.domain.record import record
from qcore.ports import Capability
from qcore.testing.builders import NOW
from qcore.testing.strategies import IDS, TASK, Moments, TaskDraft

ENTRY_IDS: Final = ("a", "é|", "z")
_NOT_ALONE: Final = frozenset(
    {"id", "name", "queue", "due", "deadline", "expires", "unique_for", "on_duplicate"}
)
"""Fields that an entry sets for each tick, and those that go with others."""


@record
class EntryDraft:
    """An entry and its state, the moments in ticks from now."""

    options: dict[str, Any]
    task: dict[str, Any]
    wake: int | None
    declared: int | None
    last_task: str | None
    flag: bool
    runs: int

    def build(self, queue: str, id: str, moments: Moments, now: Moment) -> StoredEntry:  # noqa: A002
        """Return the entry as it is to be stored."""
        asked: dict[str, Any] = {"name": "machine:task", **self.task}
        entry = Entry(NewTask(id=id, queue=queue, **asked), "@every 1s", **self.options)
        ticks = [TickRecord(NOW + n, 0.25, self.last_task, "é") for n in range(self.runs)]
        state = EntryState(
            after=now,
            next=None if self.wake is None else moments.at(now, self.wake),
            wake=None if self.wake is None else moments.at(now, self.wake),
            runs=self.runs,
            last_task=self.last_task,
            is_waiting=self.flag,
            is_paused=not self.flag,
            declared_until=None if self.declared is None else moments.at(now, self.declared),
            history=tuple(ticks),
        )
        return StoredEntry(entry, state)


@record
class EntryChangeDraft:
    """A change of an entry, of what is there now, was there once, or is not there at all."""

    queue: str
    id: str
    seen: Literal["now", "once", "never"]
    entry: EntryDraft | None
    tasks: list[TaskDraft]

    def build_entry(self, moments: Moments, now: Moment) -> StoredEntry | None:
        """Return what takes its place; None to remove it."""
        if self.entry is None:
            return None
        return self.entry.build(self.queue, self.id, moments, now)

    def build_tasks(
        self, moments: Moments, now: Moment, *, capabilities: frozenset[Capability]
    ) -> tuple[NewTask, ...]:
        """Return the tasks that it brings, in its queue."""
        made = (draft.build(moments, now, capabilities=capabilities) for draft in self.tasks)
        return tuple(evolve(task, queue=self.queue) for task in made)


def _rarely(strategy: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), strategy)


_FIELDS: Final[list[dict[str, Any]]] = [
    {name: value}
    for name, field in FIELDS.items()
    if name not in _NOT_ALONE
    for value in field.examples
]
_OPTIONS: Final[list[dict[str, Any]]] = [
    {},
    {"missed": "all", "catch_up": 3, "overlap": "queue"},
    {"missed": "skip", "grace": 1 / 3, "jitter": 0.1, "declared_by": "é:app"},
    {"start": NOW, "end": NOW + 0.1, "max_runs": 2, "expires_after": 1 / 3},
]

_ENTRY: Final = st.builds(
    EntryDraft,
    options=st.sampled_from(_OPTIONS),
    task=st.just(dict[str, Any]()) | st.sampled_from(_FIELDS),
    wake=_rarely(st.integers(-2_000, 4_000)),
    declared=_rarely(st.integers(-2_000, 4_000)),
    last_task=st.none() | st.sampled_from(IDS),
    flag=st.booleans(),
    runs=st.integers(0, 2),
)

ENTRY_CHANGES: Final = st.lists(
    st.builds(
        EntryChangeDraft,
        queue=st.sampled_from(("red", "blue")),
        id=st.sampled_from(ENTRY_IDS),
        seen=st.sampled_from(("now", "now", "now", "once", "never")),
        entry=st.one_of(_ENTRY, _ENTRY, _ENTRY, st.none()),
        tasks=st.lists(TASK, max_size=2),
    ),
    min_size=1,
    max_size=3,
)
