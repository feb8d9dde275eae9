"""Cases of the verbs of `Periodic` that read and write entries."""

from threading import Event as Notified
from typing import Any, Final

import pytest
from attrs import evolve

from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.errors import InvalidTask
from qcore.domain.lifecycle import State
from qcore.domain.new_task import FIELDS, MAX_QUEUE
from qcore.domain.periodic.changes import EntryChange, EntryConflict, EntryWritten
from qcore.domain.periodic.editing import added, paused
from qcore.domain.periodic.entry import (
    MAX_ENTRY_ID,
    EntryState,
    StoredEntry,
    TickRecord,
    UnreadableEntry,
)
from qcore.domain.periodic.stored_form import encode_entry
from qcore.ports import Broker, Capability, EntriesChanged
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import find_task, put, take
from qcore.testing.entries import (
    MINUTELY,
    an_entry,
    due,
    find_entry,
    put_entry,
    removed,
    stored_entry,
    with_revision,
    write,
    written,
)
from qcore.testing.optional_ports import periodic

EXAMPLES: Final[dict[str, tuple[object, ...]]] = {
    "schedule": ("CRON_TZ=Europe/Berlin 0 9 * * 1-5", "✓"),
    "missed": ("skip", "all"),
    "catch_up": (1,),
    "grace": (0.0, 0.125),
    "overlap": ("skip", "queue"),
    "jitter": (0.1,),
    "start": (NOW + 0.0625,),
    "end": (NOW + 1e6 + 0.0625,),
    "max_runs": (1, 10**9),
    "expires_after": (0.25,),
    "declared_by": ("app.mail:send", "ключ"),
}
"""Values of each field of an `Entry` that are not its default."""
OF_A_TICK: Final = {"id", "queue", "due", "deadline", "expires"}
"""Fields of a task that the entry says, or that each tick has of its own."""
STATES: Final = (
    EntryState(NOW + 0.000001),
    EntryState(
        after=NOW,
        next=NOW + 60.5,
        wake=NOW + 61.0625,
        runs=10**9,
        last_task="report@2027-01-15T08:00:00Z",
        is_waiting=True,
        is_paused=True,
        declared_until=NOW + 300.125,
        history=(
            TickRecord(NOW - 60, 0.0, note="skipped: ✓ 'it' lives"),
            TickRecord(NOW, 1e-6, "report@2027-01-15T08:00:00Z"),
        ),
    ),
)
ODD: Final = (
    *("a|b", "{a}", "é", "e\u0301", "🦆", "%", "A", "a", "a*", "[a]", "'a'", "None", "0", "-"),
    *("a:b", "a" * MAX_ENTRY_ID, "🦆" * MAX_ENTRY_ID, "\uff5e"),
)


def changed_entry(seen: StoredEntry | None, stored: StoredEntry) -> EntryChange:
    """Return the change that puts an entry in the place of what was seen."""
    revision = None if seen is None else seen.revision
    return EntryChange(stored.queue, stored.id, revision, stored)


class EntryCases(Cases):
    """Entries are added, read, changed and removed."""

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        """Put bytes into the store in place of an entry's, as a newer qcore or a person would.

        An author says how: `self` knows the store, and there is an entry of that id already.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how an entry is spoiled")

    # - The same id may lie in two queues.

    async def test_entries_of_one_id_lie_in_two_queues(self, broker: Broker) -> None:
        """Each is its own: to change or to remove one leaves the other."""
        here = await put_entry(broker, an_entry())
        there = await put_entry(broker, an_entry(queue="b", overlap="skip"))
        await written(broker, removed(here))
        assert await find_entry(broker) is None
        assert await find_entry(broker, queue="b") == there

    # - Entries are no tasks: `count`, `claim` and `next_due` know nothing of them.

    async def test_entries_are_no_tasks(self, broker: Broker) -> None:
        """Not even one that is due: a scheduler makes a task of it."""
        await put_entry(broker, an_entry())
        assert await broker.count() == {}
        assert await broker.next_due(["default"]) is None
        assert await take(broker, now=NOW + 99) == []
        assert await find_task(broker, a_task(id="report")) is None

    # - A queue that has entries is not removed: `remove_queue` answers with `QueueNotEmpty`, which
    #   says how many.

    async def test_a_queue_that_has_entries_is_not_removed(self, broker: Broker) -> None:
        """Whether it has tasks or not; without them it is, and begins anew."""
        first, second = [await put_entry(broker, an_entry(f"e{n}")) for n in range(2)]
        assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(0, 2)
        await put(broker, *some_tasks(3))
        assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(3, 2)
        assert await find_entry(broker, "e0") == first
        await written(broker, removed(first))
        await written(broker, removed(second))
        assert await broker.remove_queue("default", now=NOW) == QueueNotEmpty(3)
        await put_entry(broker, an_entry(queue="b"))
        await written(broker, removed(await stored_entry(broker, queue="b")))
        assert await broker.remove_queue("b", now=NOW) == QueueRemoved()
        assert list(await periodic(broker).entry_queues()) == []

    # - Each answer is at its change's place: `EntryWritten` or `EntryConflict`.

    async def test_each_change_is_answered_at_its_place(self, broker: Broker) -> None:
        """Of several queues too; a conflict keeps no other out, in the batch before or behind."""
        old = await put_entry(broker, an_entry("old"))
        changes = [
            added(None, an_entry("old"), MINUTELY, NOW),
            added(None, an_entry("new"), MINUTELY, NOW),
            evolve(removed(old), queue="b"),
            added(None, an_entry("new", queue="b"), MINUTELY, NOW),
            paused(old),
        ]
        answers = await periodic(broker).write_entries(changes, now=NOW)
        assert [type(each) for each in answers] == [
            EntryConflict,
            EntryWritten,
            EntryConflict,
            EntryWritten,
            EntryWritten,
        ]
        for n, (queue, entry) in enumerate([("default", "new"), ("b", "new"), ("default", "old")]):
            answer = answers[(1, 3, 4)[n]]
            found = await stored_entry(broker, entry, queue=queue)
            assert isinstance(answer, EntryWritten)
            assert found.revision == answer.revision
        assert (await stored_entry(broker, "old")).state.is_paused

    # - A change is made if its entry has the revision that was seen, or if there is none where
    #   none was seen; else it is an `EntryConflict`, and nothing of it is written, of its tasks
    #   neither. So of several who change what they have seen one does, and a change that is asked
    #   for twice is made once.

    async def test_a_change_of_what_was_changed_since_is_a_conflict(self, broker: Broker) -> None:
        """Its tasks are not enqueued either."""
        seen = await put_entry(broker, an_entry())
        await written(broker, paused(seen))
        before = await stored_entry(broker)
        task = a_task()
        late = evolve(changed_entry(seen, with_revision(seen)), tasks=(task,))
        assert await write(broker, late) == EntryConflict()
        assert await write(broker, evolve(removed(seen), tasks=(task,))) == EntryConflict()
        assert await stored_entry(broker) == before
        assert await find_task(broker, task) is None

    async def test_a_change_of_what_was_removed_since_is_a_conflict(self, broker: Broker) -> None:
        """It does not bring the entry back; nor does an unknown one come by being changed."""
        seen = await put_entry(broker, an_entry())
        await written(broker, removed(seen))
        assert await write(broker, paused(seen)) == EntryConflict()
        assert await write(broker, removed(seen)) == EntryConflict()
        assert await find_entry(broker) is None
        assert list(await periodic(broker).entry_queues()) == []

    async def test_an_entry_is_added_once(self, broker: Broker) -> None:
        """The second who has seen none is told of a conflict."""
        change = added(None, an_entry(), MINUTELY, NOW)
        await written(broker, change)
        before = await stored_entry(broker)
        other = added(None, an_entry(overlap="skip"), MINUTELY, NOW)
        assert await write(broker, change) == EntryConflict()
        assert await write(broker, other) == EntryConflict()
        assert await stored_entry(broker) == before

    async def test_within_a_batch_the_first_change_of_an_entry_is_made(
        self, broker: Broker
    ) -> None:
        """The others have not seen it."""
        seen = await put_entry(broker, an_entry())
        first, second = (evolve(paused(seen), tasks=(a_task(),)) for _ in range(2))
        answers = await periodic(broker).write_entries([first, second], now=NOW)
        assert [type(each) for each in answers] == [EntryWritten, EntryConflict]
        assert await broker.count() == {"default": {State.PENDING: 1}}

    async def test_of_many_who_change_an_entry_at_once_one_does(self, broker: Broker) -> None:
        """However they meet."""
        seen = await put_entry(broker, an_entry())
        changes = [evolve(paused(seen), tasks=(a_task(),)) for _ in range(6)]
        answers = await self.together([lambda c=c: write(broker, c) for c in changes])  # type: ignore[misc]
        assert sum(isinstance(answer, EntryWritten) for answer in answers) == 1
        assert await broker.count() == {"default": {State.PENDING: 1}}

    async def test_of_many_who_add_an_entry_at_once_one_does(self, broker: Broker) -> None:
        """However they meet."""
        changes = [added(None, an_entry(grace=float(n)), MINUTELY, NOW) for n in range(6)]
        answers = await self.together([lambda c=c: write(broker, c) for c in changes])  # type: ignore[misc]
        places = [n for n, each in enumerate(answers) if isinstance(each, EntryWritten)]
        assert places == [(await stored_entry(broker)).entry.grace]

    # - What is written comes back unchanged, under a revision that nothing had before that lay
    #   under its id: neither what was seen, nor what was removed long ago.

    @pytest.mark.parametrize("field", sorted(EXAMPLES))
    async def test_whatever_is_asked_of_an_entry_comes_back(
        self, broker: Broker, field: str
    ) -> None:
        """By id, in a listing, and where it is due."""
        for value in EXAMPLES[field]:
            options: dict[str, Any] = {field: value}
            entry = an_entry(**options)
            await _comes_back(broker, StoredEntry(entry, EntryState(NOW, NOW, NOW)))

    async def test_whatever_is_asked_of_its_task_comes_back(self, broker: Broker) -> None:
        """Every option of a task, but for the moments that each tick has of its own."""
        for options in _options_of_templates():
            stored = StoredEntry(an_entry(task=options), EntryState(NOW, NOW, NOW))
            await _comes_back(broker, stored)

    @pytest.mark.parametrize("state", STATES)
    async def test_how_far_it_has_come_comes_back(self, broker: Broker, state: EntryState) -> None:
        """Whole, and with the fractions of its moments."""
        await _comes_back(broker, StoredEntry(an_entry(), state))

    async def test_a_large_payload_comes_back(self, broker: Broker) -> None:
        """Of a quarter of a mebibyte, of any bytes."""
        payload = bytes(range(256)) * 1_024
        stored = StoredEntry(an_entry(task={"payload": payload}), EntryState(NOW, NOW, NOW))
        await _comes_back(broker, stored)

    async def test_no_revision_comes_twice(self, broker: Broker) -> None:
        """Not of the same content, nor of an entry that was removed in between."""
        change = added(None, an_entry(), MINUTELY, NOW)
        revisions: set[str] = set()
        for _ in range(3):
            await written(broker, change)
            for _ in range(3):
                stored = await stored_entry(broker)
                revisions.add(stored.revision)
                await written(broker, changed_entry(stored, with_revision(stored)))
            revisions.add((last := await stored_entry(broker)).revision)
            await written(broker, removed(last))
        assert len(revisions) == 12

    # - With no entry, the entry is removed, and nothing is left of it; what it has enqueued stays.

    async def test_nothing_is_left_of_a_removed_entry(self, broker: Broker) -> None:
        """One of its id that is added later has nothing of it; its tasks stay."""
        state = evolve(STATES[1], is_paused=False)
        await written(broker, changed_entry(None, StoredEntry(an_entry(jitter=9.0), state)))
        await put(broker, task := a_task())
        answer = await written(broker, removed(await stored_entry(broker)))
        assert answer == EntryWritten(None, answer.admissions)
        assert list(answer.admissions) == []
        assert await find_entry(broker) is None
        assert await periodic(broker).browse_entries("default", 9) == []
        found = await due(broker, now=NOW + 99)
        assert (list(found.entries), found.next) == ([], None)
        assert await find_task(broker, task) is not None
        assert (await put_entry(broker, an_entry())).state == EntryState(NOW, NOW + 60, NOW + 60)

    # - A change whose entry or tasks are of another queue, whose entry has another id, or that
    #   brings more than 100 tasks, is an `InvalidTask`; then nothing of the batch is written.

    async def test_a_change_that_is_not_of_one_queue_is_refused(self, broker: Broker) -> None:
        """Before anything is written, of its neighbours neither."""
        good = added(None, an_entry("good"), MINUTELY, NOW)
        change = added(None, an_entry(), MINUTELY, NOW)
        odd = [
            (evolve(change, queue="b"), "'b'"),
            (evolve(change, id="other"), "'other'"),
            (evolve(change, tasks=(a_task(), a_task(queue="b"))), "'b'"),
            (evolve(change, tasks=tuple(some_tasks(101))), "101"),
        ]
        for each, said in odd:
            with pytest.raises(InvalidTask, match=said):
                await periodic(broker).write_entries([good, each], now=NOW)
        assert list(await periodic(broker).entry_queues()) == []
        assert await broker.count() == {}

    # - Without `Capability.SHARED`, whoever has subscribed to `EntriesChanged` is notified of
    #   each queue of which an entry was written. With it this may be left out: schedulers ask
    #   again.

    async def test_whoever_waits_for_entries_is_notified(self, broker: Broker) -> None:
        """Of their queues: when one is added, changed and removed, and never without a change."""
        notified, elsewhere = Notified(), Notified()
        mine = await broker.subscribe(["default"], {EntriesChanged}, lambda _: notified.set())
        other = await broker.subscribe(["b"], {EntriesChanged}, lambda _: elsewhere.set())
        notified.clear()
        elsewhere.clear()
        if Capability.SHARED not in broker.capabilities:
            stored = await put_entry(broker, an_entry())
            for change in (paused(stored), None):
                assert await self.comes(notified)
                notified.clear()
                await written(broker, change or removed(await stored_entry(broker)))
            assert await self.comes(notified)
            assert not elsewhere.is_set()
        await mine.close()
        await other.close()

    # - An empty batch is answered with no answers.

    async def test_no_changes_are_answered_with_nothing(self, broker: Broker) -> None:
        """As anywhere else."""
        assert list(await periodic(broker).write_entries([], now=NOW)) == []

    # - Each answer is at its id's place, None where none lies in this queue.

    async def test_each_entry_is_answered_at_its_place(self, broker: Broker) -> None:
        """Also one that is asked for twice, and one that lies elsewhere."""
        first, second = [await put_entry(broker, an_entry(f"e{n}")) for n in range(2)]
        await put_entry(broker, an_entry("e2", queue="b"))
        found = await periodic(broker).entries("default", ["e1", "no", "e0", "e2", "e1"])
        assert list(found) == [second, None, first, None, second]
        assert list(await periodic(broker).entries("nowhere", ["e1"])) == [None]
        assert list(await periodic(broker).entries("default", [])) == []

    @pytest.mark.parametrize("odd", ODD)
    async def test_an_entrys_id_may_be_any_text(self, broker: Broker, odd: str) -> None:
        """Of an entry, and of its queue."""
        await put_entry(broker, an_entry("other"))
        entry = an_entry(odd, queue=odd[:MAX_QUEUE].replace("{", "(").replace("}", ")"))
        stored = await put_entry(broker, entry)
        assert await find_entry(broker, odd, queue=entry.queue) == stored
        assert list(await periodic(broker).browse_entries(entry.queue, 1)) == [stored]
        assert [each.stored for each in (await due(broker, entry.queue)).entries] == [stored]
        assert await find_entry(broker, odd) is None

    # - What a newer qcore has stored there, or somebody by hand, is an `UnreadableEntry`, which
    #   says why it cannot be read. It has a revision, so that it can be replaced and removed.

    @pytest.mark.parametrize(
        ("stored", "why"),
        [
            (b'{"format":2,"task":{},"moon":"full"}', "format"),
            (b"", ""),
            (b"by hand", ""),
            (b"\xff\x00", ""),
            (b"[" * 100_000, ""),
        ],
    )
    async def test_what_cannot_be_read_is_shown_as_such(
        self, broker: Broker, stored: bytes, why: str
    ) -> None:
        """By id and in a listing; its neighbours are read."""
        first, last = await put_entry(broker, an_entry("a")), await put_entry(broker, an_entry("z"))
        await put_entry(broker, an_entry())
        await self.plant_entry(broker, "default", "report", stored)
        found = await find_entry(broker)
        assert isinstance(found, UnreadableEntry)
        assert (found.queue, found.id) == ("default", "report")
        assert why in found.why
        assert found.why
        assert list(await periodic(broker).browse_entries("default", 9)) == [first, found, last]

    async def test_what_says_to_be_another_entry_cannot_be_read(self, broker: Broker) -> None:
        """As one that somebody has copied."""
        await put_entry(broker, an_entry())
        copied = await stored_entry(broker)
        other = await put_entry(broker, an_entry("other"))
        await self.plant_entry(broker, "default", "other", encode_entry(copied))
        found = await find_entry(broker, "other")
        assert isinstance(found, UnreadableEntry)
        assert "'report'" in found.why
        await self.plant_entry(broker, "default", "other", encode_entry(other))
        again = await stored_entry(broker, "other")
        assert with_revision(again) == with_revision(other)

    async def test_what_cannot_be_read_can_be_replaced_and_removed(self, broker: Broker) -> None:
        """By whoever has seen it."""
        for replaces in (True, False):
            await put_entry(broker, an_entry())
            await self.plant_entry(broker, "default", "report", b"by hand")
            found = await find_entry(broker)
            assert isinstance(found, UnreadableEntry)
            if replaces:
                await written(broker, added(found, an_entry(), MINUTELY, NOW))
                assert (await stored_entry(broker)).state.runs == 0
            else:
                await written(broker, EntryChange("default", "report", found.revision, None))
                assert await find_entry(broker) is None

    # - At most `limit`, those whose ids come after `after` (by code points).

    async def test_entries_are_listed_page_by_page(self, broker: Broker) -> None:
        """Each on one page; nothing of other queues, and nothing after the last."""
        ids = sorted(ODD)
        for each in ODD:
            await put_entry(broker, an_entry(each))
        await put_entry(broker, an_entry("b", queue="b"))
        listed: list[str] = []
        while page := await periodic(broker).browse_entries(
            "default", 7, after=listed[-1] if listed else ""
        ):
            assert len(page) <= 7
            listed += [each.id for each in page]
        assert listed == ids
        assert list(await periodic(broker).browse_entries("default", 0)) == []
        assert list(await periodic(broker).browse_entries("nowhere", 9)) == []

    # - Those too that cannot be read.

    async def test_what_cannot_be_read_is_on_a_page(self, broker: Broker) -> None:
        """At its place, and counted."""
        for n in range(3):
            await put_entry(broker, an_entry(f"e{n}"))
            await self.plant_entry(broker, "default", f"e{n}", b"?")
        page = await periodic(broker).browse_entries("default", 2, after="e0")
        assert [(each.id, type(each)) for each in page] == [
            ("e1", UnreadableEntry),
            ("e2", UnreadableEntry),
        ]

    # - In the order of their names, each once; also those that have no tasks.

    async def test_queues_with_entries_are_listed(self, broker: Broker) -> None:
        """And no others: those of tasks alone, or whose entries were removed."""
        assert list(await periodic(broker).entry_queues()) == []
        await put(broker, a_task(queue="tasks"))
        for queue in ("b", "a", "c", "c", "d"):
            await put_entry(broker, an_entry(queue=queue))
        await put_entry(broker, an_entry("other", queue="a"))
        await written(broker, removed(await stored_entry(broker, queue="d")))
        assert list(await periodic(broker).entry_queues()) == ["a", "b", "c"]


async def _comes_back(broker: Broker, stored: StoredEntry) -> None:
    """Fail unless an entry comes back as it was written."""
    found = await find_entry(broker)
    change = EntryChange("default", "report", None if found is None else found.revision, stored)
    answer = await written(broker, change)
    asked = with_revision(stored, answer.revision or "")
    assert await stored_entry(broker) == asked
    assert list(await periodic(broker).browse_entries("default", 9)) == [asked]
    shown = (await due(broker, now=NOW + 99)).entries
    assert [each.stored for each in shown] == ([] if stored.state.wake is None else [asked])


def _options_of_templates() -> list[dict[str, Any]]:
    return [
        {**field.together, field.name: value}
        for field in FIELDS.values()
        if field.name not in OF_A_TICK
        for value in field.examples
    ]
