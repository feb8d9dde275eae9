"""What is stored of an entry."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from qcore.domain.periodic.editing import added
from qcore.domain.periodic.entry import EntryState, StoredEntry, TickRecord, UnreadableEntry
from qcore.domain.periodic.stored_form import decode_entry, encode_entry
from qcore.domain.periodic.tick import Tick, tick_in, with_tick
from qcore.testing.builders import NOW
from qcore.testing.entries import MINUTELY, an_entry

moments = st.floats(0, 2e9)


def an_added() -> StoredEntry:
    """Return an entry as it is added."""
    stored = added(None, an_entry(), MINUTELY, NOW).entry
    assert stored is not None
    return stored


def spoiled(**members: Any) -> bytes:
    """Return what is stored of an entry, with other members."""
    return json.dumps(json.loads(encode_entry(an_added())) | members).encode()


@given(
    records=st.lists(st.builds(TickRecord, moments, moments, st.none() | st.text(), st.text())),
    moment=moments,
    payload=st.binary(),
)
def test_what_is_stored_is_read_as_it_was(
    records: list[TickRecord], moment: float, payload: bytes
) -> None:
    """Whatever is in it."""
    state = EntryState(moment, moment, None, history=tuple(records))
    stored = StoredEntry(an_entry(task={"payload": payload}), state, "7")
    assert decode_entry("default", "report", encode_entry(stored), "7") == stored


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        (spoiled(format=2), "format"),
        (spoiled(newer=1), "unknown field `newer`"),
        (spoiled(state={"after": 1.0, "newer": 1}), "unknown field `newer`"),
        (spoiled(task={"name": "n", "id": "report", "newer": 1}), "unknown field `newer`"),
        (spoiled(state={}), "after"),
        (spoiled(missed="never"), "missed"),
        (spoiled(catch_up=0), "catch_up is 0"),
        (spoiled(task={"name": "", "id": "report"}), "name is ''"),
        (spoiled(task={"name": "n", "id": "report", "payload": "?"}), "payload"),
        (spoiled(task={"name": "n", "id": "other"}), "it says that it is 'other'"),
        (b"", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_what_cannot_be_carried_out_whole_cannot_be_read(encoded: bytes, why: str) -> None:
    """It says why, and keeps its revision."""
    found = decode_entry("default", "report", encoded, "7")
    assert isinstance(found, UnreadableEntry)
    assert why in found.why
    assert (found.queue, found.id, found.revision) == ("default", "report", "7")


def test_what_is_as_usual_is_not_stored() -> None:
    """So a new option of an entry that is not given keeps no older qcore from reading it."""
    assert set(json.loads(encode_entry(an_added()))) == {"format", "task", "schedule", "state"}
    state = evolve(an_added().state, is_paused=True)
    assert json.loads(encode_entry(evolve(an_added(), state=state)))["state"]["is_paused"] is True


def test_headers_tell_the_tick() -> None:
    """What is no tick there is none."""
    tick = Tick("report", NOW, 0.25, is_late=False)
    assert tick_in(with_tick({"a": "b"}, tick)) == tick
    assert tick_in({"a": "b"}) is None
    assert tick_in({"qcore-tick": "[" * 100_000}) is None
