"""What is stored of an entry: one JSON object, the same in every store.

It is read strictly. An entry in which something is unknown, as one of a newer qcore, must not be
carried out by halves: it is an `UnreadableEntry`, shown and never fired.
"""

from types import GenericAlias
from typing import Any, Final, Literal

from attrs import fields
from msgspec import MsgspecError, json
from msgspec.structs import asdict

from qcore.domain.errors import InvalidTask
from qcore.domain.new_task import FIELDS, NewTask
from qcore.domain.periodic.entry import (
    Entry,
    EntryId,
    EntryState,
    FoundEntry,
    StoredEntry,
    TickRecord,
    UnreadableEntry,
)
from qcore.domain.strict_forms import members_of, strict_form
from qcore.domain.task_fields import REQUIRED

FORMAT: Final = 1
"""To be raised where an older qcore must not carry out what a newer one stores."""


_TaskForm: Final = strict_form("task", [(n, each.type, each.default) for n, each in FIELDS.items()])
_RecordForm: Final = strict_form("tick", members_of(TickRecord))
_StateForm: Final = strict_form(
    "state", members_of(EntryState, history=GenericAlias(tuple, (_RecordForm, ...)))
)
_EntryForm: Final = strict_form(
    "entry",
    [
        ("format", Literal[1], REQUIRED),
        *members_of(Entry, task=_TaskForm),
        ("state", _StateForm, REQUIRED),
    ],
)
_decode: Final = json.Decoder(_EntryForm).decode
_TASK: Final = tuple(FIELDS)
_ENTRY: Final = tuple(each.name for each in fields(Entry) if each.name != "task")
_STATE: Final = tuple(each.name for each in fields(EntryState) if each.name != "history")
_RECORD: Final = tuple(each.name for each in fields(TickRecord))


def encode_entry(stored: StoredEntry) -> bytes:
    """Return an entry as it is stored; its revision is the store's."""
    entry, state = stored.entry, stored.state
    history = tuple(_RecordForm(**_picked(each, _RECORD)) for each in state.history)
    form = _EntryForm(
        format=FORMAT,
        task=_TaskForm(**_picked(entry.task, _TASK)),
        state=_StateForm(**_picked(state, _STATE), history=history),
        **_picked(entry, _ENTRY),
    )
    return json.encode(form)


def decode_entry(queue: str, entry: EntryId, stored: bytes | str, revision: str) -> FoundEntry:
    """Return the entry that lies under an id in a queue; an `UnreadableEntry` where it is none."""
    try:
        found = _read(stored, revision)
    except (MsgspecError, InvalidTask, RecursionError, UnicodeError) as error:
        return UnreadableEntry(queue, entry, str(error), revision)
    if (found.queue, found.id) != (queue, entry):
        why = f"it says that it is {found.id!r} of the queue {found.queue!r}"
        return UnreadableEntry(queue, entry, why, revision)
    return found


def _read(stored: bytes | str, revision: str) -> StoredEntry:
    form = asdict(_decode(stored))
    form.pop("format")
    state = asdict(form.pop("state"))
    history = tuple(TickRecord(**asdict(each)) for each in state.pop("history"))
    task = NewTask(**asdict(form.pop("task")))
    return StoredEntry(Entry(task=task, **form), EntryState(**state, history=history), revision)


def _picked(record: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}
