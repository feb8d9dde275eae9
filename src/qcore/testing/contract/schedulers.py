"""Cases of many schedulers at once, and `PeriodicContract`."""

import pytest

from qcore.domain.answers import Conflict
from qcore.domain.ids import tick_id
from qcore.domain.new_task import TaskId
from qcore.domain.periodic.changes import EntryConflict, EntryWritten
from qcore.domain.periodic.ticking import decide
from qcore.domain.states import State
from qcore.domain.transitions import Succeeded
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.entries import EntryCases
from qcore.testing.contract.entry_reading import EntryReadingCases
from qcore.testing.contract.steps import browse_all, end, ids, put, take, take_one
from qcore.testing.contract.ticks import AT, HOUR, TickCases
from qcore.testing.entries import (
    MINUTELY,
    an_entry,
    decided,
    due,
    made,
    put_entry,
    removed,
    stored_entry,
    tick,
    with_revision,
    write,
    written,
)
from qcore.testing.optional_ports import periodic


class SchedulerCases(Cases):
    """What schedulers rely on: any number of them make one task for each tick."""

    # - A change is made if its entry has the revision that was seen, or if there is none where
    #   none was seen; else it is an `EntryConflict`, and nothing of it is written, of its tasks
    #   neither. So of several who change what they have seen one does, and a change that is asked
    #   for twice is made once.

    async def test_ten_schedulers_make_one_task_for_each_tick(self, broker: Broker) -> None:
        """Woken at the same moments, and all of them look before one writes."""
        write = periodic(broker).write_entries
        for n in range(3):
            await put_entry(broker, an_entry(f"e{n}"))
        for n in range(1, 5):
            looked = [await decided(broker, now=NOW + 60 * n) for _ in range(10)]
            answers = await self.together(
                [lambda c=changes, m=NOW + 60 * n: write(c, now=m) for changes in looked]  # type: ignore[misc]
            )
            assert sum(made(each) for each in answers) == 3
        whole = await self.together([lambda: tick(broker, now=NOW + 300)] * 10)
        assert sum(made(each) for each in whole) == 3
        assert await all_ids(broker) == sorted(
            tick_id(f"e{n}", NOW + 60 * m) for n in range(3) for m in range(1, 6)
        )

    async def test_schedulers_whose_clocks_are_wrong_make_one_task_for_each_tick(
        self, broker: Broker
    ) -> None:
        """One is an hour ahead and one an hour behind: none is made twice, none left out."""
        await put_entry(broker, an_entry(missed="all"))
        for n in range(1, 7):
            for wrong in (HOUR, -HOUR, 0.0):
                await tick(broker, now=NOW + 600 * n + wrong)
        expected = [tick_id("report", NOW + 60 * n) for n in range(1, 121)]
        assert await all_ids(broker) == sorted(expected)

    async def test_a_tick_whose_reply_was_lost_is_made_once(self, broker: Broker) -> None:
        """It is asked for again, and is a conflict; who then looks finds nothing to do."""
        await put_entry(broker, an_entry())
        [found] = (await due(broker)).entries
        change = decide(found.stored, MINUTELY, now=AT, lives=found.lives)
        await written(broker, change, now=AT)
        assert await write(broker, change, now=AT) == EntryConflict()
        assert list(await tick(broker)) == []
        assert await all_ids(broker) == [tick_id("report", AT)]

    async def test_a_stale_tick_is_refused(self, broker: Broker) -> None:
        """Of a scheduler that stood still between looking and writing, for an hour."""
        await put_entry(broker, an_entry())
        [found] = (await due(broker)).entries
        await tick(broker)
        claim = await take_one(broker, now=AT)
        await end(broker, claim, Succeeded())
        late = decide(found.stored, MINUTELY, now=AT + HOUR, lives=False)
        assert await write(broker, late, now=AT + HOUR) == EntryConflict()
        assert await broker.count() == {}

    async def test_an_entry_that_was_removed_and_added_again_has_other_ticks(
        self, broker: Broker
    ) -> None:
        """A tick of the old one is refused, though the new one looks the same."""
        stored = await put_entry(broker, an_entry())
        late = decide(stored, MINUTELY, now=AT, lives=False)
        await written(broker, removed(stored))
        again = await put_entry(broker, an_entry())
        assert with_revision(again) == with_revision(stored)
        assert await write(broker, late, now=AT) == EntryConflict()
        assert await all_ids(broker) == []

    async def test_a_tick_of_an_entry_added_again_makes_no_second_task(
        self, broker: Broker
    ) -> None:
        """The instant is the same, and so is the id: one that has ended and is kept counts."""
        for _ in range(2):
            await put_entry(broker, an_entry(task={"retention": HOUR}))
            await tick(broker)
            for claim in await take(broker, now=AT):
                await end(broker, claim, Succeeded(), now=AT)
            await written(broker, removed(await stored_entry(broker)))
        assert await broker.count() == {"default": {State.COMPLETED: 1}}

    @pytest.mark.parametrize("overlap", ["skip", "queue"])
    async def test_a_tick_minds_that_the_last_task_lives(
        self, broker: Broker, overlap: str
    ) -> None:
        """It is left out, or waits for the end of the other."""
        await put_entry(broker, an_entry(overlap=overlap))
        await tick(broker)
        await tick(broker, now=AT + 60)
        claims = await take(broker, now=AT + 60)
        assert ids(claims) == [tick_id("report", AT)]
        await end(broker, claims[0], Succeeded(), now=AT + 61)
        await tick(broker, now=AT + 70)
        expected = [tick_id("report", AT + 60)] if overlap == "queue" else []
        assert ids(await take(broker, now=AT + 70)) == expected
        await tick(broker, now=AT + 120)
        assert (await stored_entry(broker)).state.next in {AT + 120, AT + 180}

    async def test_a_task_whose_id_is_taken_is_left_to_whoever_has_it(self, broker: Broker) -> None:
        """The entry goes on; the task that is there stays as it was asked for."""
        await put_entry(broker, an_entry())
        other = a_task(id=tick_id("report", AT), payload=b"other")
        await put(broker, other)
        [answer] = await tick(broker)
        assert isinstance(answer, EntryWritten)
        assert list(answer.admissions) == [Conflict(other.id, State.PENDING)]
        assert (await stored_entry(broker)).state.next == AT + 60
        assert (await take_one(broker, now=AT)).task.spec == other

    async def test_a_large_batch_of_changes_is_written(self, broker: Broker) -> None:
        """Of many entries in several queues, each with its task."""
        names = [(f"e{n}", f"q{n % 3}") for n in range(60)]
        for name, queue in names:
            await put_entry(broker, an_entry(name, queue=queue))
        answers = await tick(broker, "q0", "q1", "q2")
        assert made(answers) == 60
        counts = await broker.count()
        assert counts == {f"q{n}": {State.PENDING: 20} for n in range(3)}


class PeriodicContract(EntryCases, EntryReadingCases, TickCases, SchedulerCases):
    """Inherit it with `Capability.PERIODIC`: entries of periodic tasks."""


async def all_ids(broker: Broker, queue: str = "default") -> list[TaskId]:
    """Return the ids of all pending tasks, sorted."""
    return sorted(task.id for task in await browse_all(broker, State.PENDING, queue=queue))
