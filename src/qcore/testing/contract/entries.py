"""Cases of changes of entries: added, changed and removed, each as it was seen."""

from threading import Event as Notified

import pytest
from attrs import evolve

from qcore.domain.answers import QueueNotEmpty, QueueRemoved
from qcore.domain.errors import InvalidTask
from qcore.domain.periodic.changes import EntryConflict, EntryWritten
from qcore.domain.periodic.editing import added, paused
from qcore.domain.periodic.entry import EntryState, StoredEntry
from qcore.domain.states import State
from qcore.ports import Broker, Capability, EntriesChanged
from qcore.testing.builders import NOW, a_task, some_tasks
from qcore.testing.contract.base import Cases
from qcore.testing.contract.entry_reading import STATES
from qcore.testing.contract.steps import find_task, put, take
from qcore.testing.entries import (
    MINUTELY,
    an_entry,
    changed_entry,
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


class EntryCases(Cases):
    """Entries are added, changed and removed."""

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
