"""The rules of `BrokerMachine` for entries of periodic tasks."""

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from attrs import evolve
from hypothesis.stateful import invariant, precondition, rule

from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import (
    DueEntries,
    EntryAnswer,
    EntryChange,
    EntryWritten,
)
from qcore.domain.periodic.entry import FoundEntry
from qcore.domain.states import State
from qcore.ports import Broker, Capability
from qcore.testing import strategies
from qcore.testing.differential import DRIVEN, MODEL, agree
from qcore.testing.entry_strategies import ENTRY_CHANGES, ENTRY_IDS, EntryChangeDraft
from qcore.testing.limit_rules import LimitAndGroupRules
from qcore.testing.optional_ports import periodic
from qcore.testing.strategies import QUEUES

Revisions: TypeAlias = tuple[str | None, str | None]
"""What the same entry has in both brokers."""


class PeriodicRules(LimitAndGroupRules):
    """A base class with the rules of entries, beside those of other optional ports."""

    def __init__(self) -> None:
        super().__init__()
        self._revisions: dict[tuple[str, str], list[Revisions]] = {}
        """Those that each entry has had, of which the last may be the present one."""

    @precondition(
        lambda self: (
            Capability.PERIODIC in self._capabilities
            and self._comparison.holds(*State) < strategies.MAX_TASKS
        )
    )
    @rule(wait=strategies.WAIT, drafts=ENTRY_CHANGES)
    def write_entries(self, wait: int, drafts: list[EntryChangeDraft]) -> None:
        """Entries are added, changed and removed, as they are and as they were, with tasks."""
        self._pass(wait)
        changes = [self._changes(draft) for draft in drafts]
        driven, model = (
            self._comparison.ask(which, partial(_write, changes=some, now=self._now))
            for which, some in zip((DRIVEN, MODEL), zip(*changes, strict=True), strict=True)
        )
        agree("the answer", _without_revisions(driven), _without_revisions(model))
        for draft, *answers in zip(drafts, driven, model, strict=True):
            ours, theirs = (a.revision if isinstance(a, EntryWritten) else None for a in answers)
            if ours is not None:
                self._revisions.setdefault((draft.queue, draft.id), []).append((ours, theirs))

    def _changes(self, draft: EntryChangeDraft) -> tuple[EntryChange, EntryChange]:
        """Return the same change for both brokers, which differ in the revision that was seen."""
        entry = draft.build_entry(self._moments, self._now)
        tasks = draft.build_tasks(self._moments, self._now, capabilities=self._capabilities)
        ours, theirs = self._seen(draft)
        change = EntryChange(draft.queue, draft.id, ours, entry, tasks)
        return change, evolve(change, seen=theirs)

    def _seen(self, draft: EntryChangeDraft) -> Revisions:
        if draft.seen == "never":
            return None, None
        if draft.seen == "once":
            known = self._revisions.get((draft.queue, draft.id), [(None, None)])
            return known[0]
        found = self._comparison.both(
            lambda broker: periodic(broker).entries(draft.queue, [draft.id])
        )
        ours, theirs = (None if each is None else each.revision for [each] in found)
        return ours, theirs

    @invariant()
    def both_have_the_same_entries(self) -> None:
        """The same are found, listed and due, and the same say that their last task lives."""
        if not self._revisions:
            return
        self._comparison.same_list(lambda broker: periodic(broker).entry_queues())
        for queue in QUEUES:
            driven, model = self._comparison.both(partial(_read, queue=queue, now=self._now))
            agree(f"what is read of the entries of {queue}", driven, model)
            agree("the list of entries on pages", self._paged_entries(queue), driven[1])
        self._comparison.same(lambda broker: _due(broker, QUEUES, 2, self._now))

    def _paged_entries(self, queue: str) -> list[FoundEntry]:
        """Return the entries that the driven broker lists, one by one."""
        found: list[FoundEntry] = []
        while page := self._entry_page(queue, found[-1].id if found else ""):
            agree("the number of entries on a page of one", len(page), 1)
            found += map(_plain, page)
        return found

    def _entry_page(self, queue: str, after: str) -> Sequence[FoundEntry]:
        return self._comparison.ask(
            DRIVEN, lambda broker: periodic(broker).browse_entries(queue, 1, after=after)
        )


async def _write(
    broker: Broker, changes: Sequence[EntryChange], now: Moment
) -> Sequence[EntryAnswer]:
    return await periodic(broker).write_entries(changes, now=now)


async def _read(
    broker: Broker, queue: str, now: Moment
) -> tuple[list[FoundEntry | None], list[FoundEntry], DueEntries]:
    found = await periodic(broker).entries(queue, ENTRY_IDS)
    listed = await periodic(broker).browse_entries(queue, 100)
    due = await _due(broker, [queue], 100, now)
    return [each and _plain(each) for each in found], [*map(_plain, listed)], due


async def _due(broker: Broker, queues: Sequence[str], limit: int, now: Moment) -> DueEntries:
    due = await periodic(broker).due_entries(queues, limit, now=now)
    entries = [evolve(each, stored=evolve(each.stored, revision="")) for each in due.entries]
    return evolve(due, entries=entries)


def _plain(found: FoundEntry) -> FoundEntry:
    """Return an entry without its revision, which is each broker's own."""
    return evolve(found, revision="")


def _without_revisions(answers: Sequence[EntryAnswer]) -> list[object]:
    return [
        (each.revision is None, list(each.admissions)) if isinstance(each, EntryWritten) else each
        for each in answers
    ]
