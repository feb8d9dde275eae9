"""Cases of ticks: entries that are due, and changes that bring tasks."""

import asyncio
from threading import Event as Notified
from typing import Final

import pytest
from attrs import evolve

from qcore.domain.answers import Admission, Conflict, Duplicate, Enqueued
from qcore.domain.ids import tick_id
from qcore.domain.moments import Moment
from qcore.domain.periodic.changes import EntryConflict, EntryWritten
from qcore.domain.periodic.entry import EntryState, StoredEntry
from qcore.domain.periodic.tick import Tick, tick_in
from qcore.domain.states import State
from qcore.domain.transitions import Failed, Released, Snoozed, Succeeded, Transition
from qcore.ports import Broker, Capability
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.entry_reading import EntryReadingCases
from qcore.testing.contract.steps import end, ids, on_work, put, take, take_one
from qcore.testing.entries import (
    an_entry,
    changed_entry,
    due,
    find_entry,
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

HOUR: Final = 3_600.0
AT: Final = NOW + 60
"""The first tick of an entry that is put at `NOW`."""


def woken(entry: str, wake: Moment | None, *, queue: str = "default") -> StoredEntry:
    """Return an entry that is to be looked at at a moment."""
    return StoredEntry(an_entry(entry, queue=queue), EntryState(NOW, NOW + 60, wake))


class TickCases(Cases):
    """What is due is found, and its tasks are enqueued with it."""

    # - Those whose `wake` is `now` or earlier, the earliest first; at most `limit` in all.

    async def test_what_is_due_is_found_the_earliest_first(self, broker: Broker) -> None:
        """Over all queues, and never a millisecond early."""
        wakes = {"c": NOW - 5, "a": NOW - 1.5, "d": NOW - 1.25, "b": NOW, "e": NOW + 0.001}
        for n, (entry, wake) in enumerate(wakes.items()):
            await written(broker, changed_entry(None, woken(entry, wake, queue=f"q{n % 2}")))
        found = await due(broker, "q0", "q1", now=NOW)
        assert [each.stored.id for each in found.entries] == ["c", "a", "d", "b"]
        some = await due(broker, "q1", "q0", limit=3, now=NOW)
        assert [each.stored.id for each in some.entries] == ["c", "a", "d"]
        assert list((await due(broker, "q0", limit=0, now=NOW)).entries) == []

    # - Only of the queues named; nothing is changed.

    async def test_only_the_queues_named_are_looked_at(self, broker: Broker) -> None:
        """And as often as one looks."""
        stored = await put_entry(broker, an_entry())
        await put_entry(broker, an_entry(queue="b"))
        for _ in range(2):
            found = await due(broker, "default", "nowhere")
            assert [each.stored for each in found.entries] == [stored]
        assert list((await due(broker, "nowhere")).entries) == []
        assert list((await periodic(broker).due_entries([], 9, now=AT)).entries) == []

    async def test_what_is_never_due_is_not_found(self, broker: Broker) -> None:
        """One without a `wake`, and one that had one."""
        await written(broker, changed_entry(None, woken("never", None)))
        await written(broker, changed_entry(None, seen := woken("once", NOW)))
        seen = await stored_entry(broker, "once")
        await written(broker, changed_entry(seen, woken("once", None)))
        found = await due(broker, now=NOW + HOUR)
        assert (list(found.entries), found.next) == ([], None)

    # - Each says whether the last task that it made lives: it is stored in this queue, and has
    #   not ended.

    @pytest.mark.parametrize("outcome", [Released(), Snoozed(NOW + HOUR), Failed("no", NOW + HOUR)])
    async def test_a_task_that_comes_again_lives(self, broker: Broker, outcome: Transition) -> None:
        """Before it runs, while it runs, and while it waits for the next time."""
        await put_entry(broker, an_entry(task={"retention": 60.0}))
        assert await lives(broker) is False
        await tick(broker)
        assert await lives(broker) is True
        claim = await take_one(broker, now=AT)
        assert await lives(broker) is True
        await end(broker, claim, outcome)
        assert await lives(broker) is True

    @pytest.mark.parametrize("retention", [0.0, HOUR])
    async def test_a_task_that_has_ended_lives_no_more(
        self, broker: Broker, retention: float
    ) -> None:
        """Whether it is kept or gone; another one of the entry's name is not its task."""
        await put_entry(broker, an_entry(task={"retention": retention}))
        await tick(broker)
        await end(broker, await take_one(broker, now=AT), Succeeded())
        await put(broker, a_task(id="report"))
        assert await lives(broker) is False

    async def test_a_task_of_another_queue_is_not_the_last(self, broker: Broker) -> None:
        """Though its id is the same."""
        await put_entry(broker, an_entry())
        await tick(broker)
        await end(broker, await take_one(broker, now=AT), Succeeded())
        await put(broker, a_task(id=tick_id("report", AT), queue="b"))
        assert await lives(broker) is False

    # - `next` is the earliest `wake` of these queues that is later than `now`; None if there is
    #   none.

    async def test_it_says_when_there_will_be_others(self, broker: Broker) -> None:
        """Whatever is due already, and however few are asked for."""
        assert (await due(broker)).next is None
        wakes = {"a": NOW - 1, "b": NOW, "c": NOW + 7.25, "d": NOW + 8, "e": None}
        for entry, wake in wakes.items():
            await written(broker, changed_entry(None, woken(entry, wake)))
        await written(broker, changed_entry(None, woken("a", NOW + 1, queue="b")))
        assert (await due(broker, now=NOW)).next == NOW + 7.25
        assert (await due(broker, limit=1, now=NOW)).next == NOW + 7.25
        assert (await due(broker, "default", "b", now=NOW)).next == NOW + 1
        assert (await due(broker, now=NOW + 8)).next is None

    # - One change is one step: an entry is never changed without its tasks, nor a task enqueued
    #   without its entry, even where the batch is cut.

    async def test_an_entry_and_its_tasks_are_written_in_one_step(self, broker: Broker) -> None:
        """Whoever looks in between sees both, or neither."""
        stored = await put_entry(broker, an_entry())
        answers = await tick(broker)
        assert made(answers) == 1
        after = await stored_entry(broker)
        assert (after.state.runs, after.state.last_task) == (1, tick_id("report", AT))
        assert after.state.next == AT + 60
        assert ids(await take(broker, now=AT)) == [tick_id("report", AT)]
        assert after.revision != stored.revision

    async def test_a_hundred_tasks_of_many_entries_are_in_one_step_each(
        self, broker: Broker
    ) -> None:
        """As many as one entry may make up for; several such in one call."""
        names = [f"e{n}" for n in range(5)]
        for name in names:
            await put_entry(broker, an_entry(name, missed="all"))
        answers = await tick(broker, now=NOW + 60 * 100)
        assert made(answers) == 5
        assert await broker.count() == {"default": {State.PENDING: 500}}
        for name in names:
            stored = await stored_entry(broker, name)
            assert (stored.state.runs, stored.state.next) == (100, NOW + 60 * 101)

    async def test_who_looks_while_it_ticks_sees_no_half_of_it(self, broker: Broker) -> None:
        """Never more runs than tasks, nor a task of a later tick than was seen before."""
        await put_entry(broker, an_entry())
        seen: list[tuple[int, int]] = []

        async def ticking() -> None:
            for n in range(1, 21):
                assert made(await tick(broker, now=NOW + 60 * n)) == 1
                await self.pause()

        async def looking() -> None:
            for _ in range(40):
                runs = (await stored_entry(broker)).state.runs
                seen.append((runs, (await broker.count()).get("default", {}).get(State.PENDING, 0)))
                await self.pause()

        await self.together([ticking, looking])
        assert [(runs, tasks) for runs, tasks in seen if runs > tasks] == []
        assert (await stored_entry(broker)).state.runs == 20

    async def pause(self) -> None:
        """Let others have their turn."""
        if not self.blocking:
            await asyncio.sleep(0)

    # - Each task is admitted as by `enqueue`, and notified of as by it. One that is refused there
    #   is no error: the answer is at its place in `admissions`, and the rest is written.

    async def test_a_tasks_options_are_those_of_the_entry(self, broker: Broker) -> None:
        """With its tick in a header, and what each tick has of its own."""
        options = {"payload": b"\x00x", "priority": 5, "headers": {"a": "b"}, "tags": ("eu",)}
        await put_entry(broker, an_entry(task=options, expires_after=30.0))
        await tick(broker, now=AT + 0.5)
        spec = (await take_one(broker, now=AT + 1)).task.spec
        assert (spec.payload, spec.priority, spec.tags) == (b"\x00x", 5, ("eu",))
        assert (spec.id, spec.expires) == (tick_id("report", AT), AT + 30)
        assert spec.headers["a"] == "b"
        assert tick_in(spec.headers) == Tick("report", AT, 0.5, is_late=False)

    async def test_a_task_that_is_refused_keeps_nothing_back(self, broker: Broker) -> None:
        """An id that is stored is a conflict; the entry is written, and so are the others."""
        stored = await put_entry(broker, an_entry())
        await put(broker, taken := a_task(), keyed := a_task())
        tasks = [a_task(id=taken.id), a_task(), evolve(keyed, on_conflict="keep")]
        change = evolve(changed_entry(stored, with_revision(stored)), tasks=tuple(tasks))
        answer = await written(broker, change)
        expected: list[Admission] = [
            Conflict(taken.id, State.PENDING),
            Enqueued(tasks[1].id, State.PENDING),
            Conflict(keyed.id, State.PENDING),
        ]
        assert list(answer.admissions) == expected
        assert (await stored_entry(broker)).revision == answer.revision

    async def test_a_duplicate_is_told(self, broker: Broker) -> None:
        """Where the broker knows unique keys."""
        if Capability.UNIQUE not in broker.capabilities:
            return
        await put_entry(broker, an_entry(task={"unique_key": "k"}))
        await put(broker, holder := a_task(unique_key="k"))
        [answer] = await tick(broker)
        assert isinstance(answer, EntryWritten)
        assert list(answer.admissions) == [Duplicate(holder.id, State.PENDING)]
        assert await broker.count() == {"default": {State.PENDING: 1}}
        assert (await stored_entry(broker)).state.next == AT + 60

    async def test_tasks_begin_in_the_state_that_enqueue_gives_them(self, broker: Broker) -> None:
        """Due later, they are scheduled; those of a removed entry are enqueued all the same."""
        stored = await put_entry(broker, an_entry())
        tasks = (later := a_task(due=NOW + 9), a_task())
        answer = await written(broker, evolve(removed(stored), tasks=tasks))
        assert list(answer.admissions) == [
            Enqueued(later.id, State.SCHEDULED),
            Enqueued(tasks[1].id, State.PENDING),
        ]
        assert await find_entry(broker) is None
        assert await broker.next_due(["default"]) == NOW + 9

    async def test_who_waits_for_work_is_notified(self, broker: Broker) -> None:
        """As of an enqueue; and not where the change was a conflict."""
        seen = await put_entry(broker, an_entry())
        notified = Notified()
        subscription = await on_work(broker, ["default"], notified.set)
        notified.clear()
        await tick(broker)
        assert await self.comes(notified)
        assert isinstance(await write(broker, removed(seen)), EntryConflict)
        await subscription.close()

    # - One that cannot be read is left out, and keeps no other one from being found.

    async def test_what_cannot_be_read_is_never_due(self, broker: Broker) -> None:
        """However many there are, and though they were due first."""
        assert isinstance(self, EntryReadingCases)
        for n in range(30):
            await written(broker, changed_entry(None, woken(f"odd{n}", NOW - 9)))
            await self.plant_entry(broker, "default", f"odd{n}", b'{"format":2}')
        await put_entry(broker, an_entry())
        found = await due(broker, limit=2)
        assert [each.stored.id for each in found.entries] == ["report"]
        await tick(broker)
        assert ids(await take(broker, now=AT)) == [tick_id("report", AT)]


async def lives(broker: Broker) -> bool:
    """Return whether the last task of the entry lives, as the broker says."""
    [found] = (await due(broker, now=NOW + HOUR)).entries
    return found.lives
