"""Entries of periodic tasks that somebody has edited in the file, or a newer qcore has written."""

from collections.abc import Callable, Iterator

import pytest

from qcore.adapters.links.sqlite import BlockingSqliteLink
from qcore.adapters.sqlite import SqliteBroker
from qcore.app.client.inline import run_inline
from qcore.domain.answers import QueueNotEmpty
from qcore.domain.errors import QcoreError
from qcore.domain.ids import tick_id
from qcore.domain.periodic.changes import EntryChange
from qcore.domain.periodic.editing import added
from qcore.domain.periodic.entry import FoundEntry, StoredEntry, UnreadableEntry
from qcore.domain.states import State
from qcore.testing.builders import NOW
from qcore.testing.entries import (
    MINUTELY,
    an_entry,
    due,
    find_entry,
    made,
    put_entry,
    stored_entry,
    tick,
    written,
)

Edit = Callable[[str], None]

UNREADABLE = {
    "a wake in words": ("wake = 'soon'", "wake is 'soon'"),
    "a wake of bytes": ("wake = x'00'", "wake is b'\\x00'"),
    "a wake before all time": ("wake = -9e999", "wake is -inf"),
    "a wake behind all time": ("wake = 9e999", "wake is inf"),
    "the greatest integer for a wake": ("wake = 9223372036854775807", "wake is 9.2"),
    "the least integer for a wake": ("wake = -9223372036854775808", "wake is -9.2"),
    "another wake": ("wake = wake - 3600", "wake is "),
    "no wake": ("wake = NULL", "wake is None"),
    "a revision in words": ("revision = 'last'", "revision is 'last'"),
    "a revision of bytes": ("revision = x'ff'", "revision is b'\\xff'"),
    "a revision with a fraction": ("revision = 1.5", "revision is 1.5"),
    "broken JSON": ("encoded = substr(encoded, 2)", ""),
    "no JSON": ("encoded = ''", ""),
    "a number": ("encoded = 7", "object"),
    "bytes": ("encoded = x'ff00'", ""),
    "text that is not UTF-8": (
        "encoded = CAST(replace(encoded, 'test:task', 'test:' || CAST(x'ff' AS TEXT)) AS TEXT)",
        "",
    ),
    "brackets without an end": ("encoded = printf('%.*c', 200000, '[')", ""),
    "a newer format": ("encoded = json_set(encoded, '$.format', 2)", "format"),
    "a member of a newer qcore": ("encoded = json_set(encoded, '$.moon', 'full')", "moon"),
    "a state of a newer qcore": ("encoded = json_set(encoded, '$.state.moon', 1)", "moon"),
    "runs in words": ("encoded = json_set(encoded, '$.state.runs', 'many')", "runs"),
    "endless runs": ("encoded = json_set(encoded, '$.state.runs', 9e999)", ""),
    "the id of another": ("encoded = replace(encoded, 'report', 'other')", "'other'"),
}


@pytest.fixture
def broker() -> Iterator[SqliteBroker]:
    """A broker with the entries a, report and z; in memory, as the rows of a file are no others."""
    broker = SqliteBroker(BlockingSqliteLink(":memory:"))
    for each in ("a", "report", "z"):
        run_inline(put_entry(broker, an_entry(each)))
    yield broker
    run_inline(broker.close())


@pytest.fixture
def edit(broker: SqliteBroker) -> Edit:
    """Write to the database as somebody with a shell would."""

    def edit(sql: str) -> None:
        run_inline(broker.link.write(lambda tx: tx.execute(sql)))

    return edit


def listed(broker: SqliteBroker) -> list[FoundEntry]:
    """Return all entries, one page of one entry after the other."""
    found: list[FoundEntry] = []
    while page := run_inline(
        broker.browse_entries("default", 1, after=found[-1].id if found else "")
    ):
        found += page
        assert len(found) < 9, "the listing has no end"
    return found


@pytest.mark.parametrize(("change", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_entry_that_cannot_be_read_is_shown_and_never_fired(
    broker: SqliteBroker, edit: Edit, change: str, why: str
) -> None:
    """Its reason names what is wrong; those beside it tick, and say when they will again."""
    edit(f"UPDATE qcore_entries SET {change} WHERE id = 'report'")  # noqa: S608
    found = run_inline(find_entry(broker))
    assert isinstance(found, UnreadableEntry)
    assert why in found.why
    assert 0 < len(found.why) < 300
    assert [(each.id, type(each)) for each in listed(broker)] == [
        ("a", StoredEntry),
        ("report", UnreadableEntry),
        ("z", StoredEntry),
    ]
    for n in range(1, 4):
        assert [each.stored.id for each in run_inline(due(broker, now=NOW + 60 * n)).entries] == [
            "a",
            "z",
        ]
        assert made(run_inline(tick(broker, now=NOW + 60 * n))) == 2
        assert run_inline(due(broker, now=NOW + 60 * n)).next == NOW + 60 * (n + 1)
    assert run_inline(broker.count()) == {"default": {State.PENDING: 6}}
    assert run_inline(broker.remove_queue("default", now=NOW)) == QueueNotEmpty(6, 3)


@pytest.mark.parametrize("replaces", [True, False])
@pytest.mark.parametrize(("change", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_entry_that_cannot_be_read_can_be_replaced_and_removed(
    broker: SqliteBroker, edit: Edit, change: str, why: str, *, replaces: bool
) -> None:
    """By whoever has seen it, whatever its revision is."""
    edit(f"UPDATE qcore_entries SET {change} WHERE id = 'report'")  # noqa: S608
    found = run_inline(find_entry(broker))
    assert isinstance(found, UnreadableEntry)
    assert why in found.why
    if replaces:
        run_inline(written(broker, added(found, an_entry(), MINUTELY, NOW)))
        assert run_inline(stored_entry(broker)).state.wake == NOW + 60
        assert made(run_inline(tick(broker))) == 3
    else:
        run_inline(written(broker, EntryChange("default", "report", found.revision, None)))
        assert run_inline(find_entry(broker)) is None


@pytest.mark.parametrize("column", ["id", "queue"])
@pytest.mark.parametrize("value", ["x'72'", "NULL"])
def test_a_name_that_is_no_text_is_refused_by_the_file(
    broker: SqliteBroker, edit: Edit, column: str, value: str
) -> None:
    """Nobody could ask for such an entry, so whoever edits it is told at once."""
    with pytest.raises(QcoreError, match="constraint"):
        edit(f"UPDATE qcore_entries SET {column} = {value} WHERE id = 'report'")  # noqa: S608
    assert isinstance(run_inline(find_entry(broker)), StoredEntry)


@pytest.mark.parametrize("name", ["x'61c3'", "x'ff'", "x''"])
def test_a_name_that_is_not_utf8_hides_no_other(
    broker: SqliteBroker, edit: Edit, name: str
) -> None:
    """It is not listed, as nobody can name it, nor fired; ids before and behind it are found."""
    run_inline(put_entry(broker, an_entry("aé")))
    edit(f"UPDATE qcore_entries SET id = CAST({name} AS TEXT) WHERE id = 'report'")  # noqa: S608
    assert {each.id for each in listed(broker)} - {""} == {"a", "aé", "z"}
    assert made(run_inline(tick(broker))) == 3
    assert run_inline(broker.get("default", [tick_id("report", NOW + 60)])) == [None]


def test_many_that_cannot_be_read_are_passed_over(broker: SqliteBroker, edit: Edit) -> None:
    """More than are read at a time, and all of them due before those that can."""
    entries = [an_entry(f"odd{n}") for n in range(250)]
    changes = [added(None, each, MINUTELY, NOW - 3_600) for each in entries]
    run_inline(broker.write_entries(changes, now=NOW))
    edit("UPDATE qcore_entries SET encoded = '{}' WHERE id GLOB 'odd*'")
    assert len(run_inline(broker.browse_entries("default", 999))) == 253
    found = run_inline(due(broker, limit=2)).entries
    assert [each.stored.id for each in found] == ["a", "report"]


def test_a_queues_row_that_is_gone_hides_no_entry(broker: SqliteBroker, edit: Edit) -> None:
    """It is made anew by the next tick, and its counters are greater than the time."""
    edit("DELETE FROM qcore_queues")
    before = run_inline(stored_entry(broker)).revision
    assert run_inline(broker.entry_queues()) == ["default"]
    assert run_inline(broker.remove_queue("default", now=NOW)) == QueueNotEmpty(0, 3)
    assert made(run_inline(tick(broker))) == 3
    assert int(run_inline(stored_entry(broker)).revision) > int(before)
