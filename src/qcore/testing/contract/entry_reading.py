"""Cases of entries that are read: by id, in a listing, as they were written."""

from typing import Any, Final

import pytest

from qcore.domain.new_task import FIELDS, MAX_QUEUE
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.editing import added
from qcore.domain.periodic.entry import (
    MAX_ENTRY_ID,
    EntryState,
    StoredEntry,
    TickRecord,
    UnreadableEntry,
)
from qcore.domain.periodic.stored_form import encode_entry
from qcore.ports import Broker
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import Cases
from qcore.testing.contract.steps import put
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


class EntryReadingCases(Cases):
    """What was written comes back, and what cannot be read is told."""

    async def plant_entry(self, broker: Broker, queue: str, entry: str, stored: bytes) -> None:
        """Put bytes into the store in place of an entry's, as a newer qcore or a person would.

        An author says how: `self` knows the store, and there is an entry of that id already.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how an entry is spoiled")

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
