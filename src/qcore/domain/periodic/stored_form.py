"""What is stored of an entry: one JSON object, the same in every store.

It is read strictly. An entry in which something is unknown, as one of a newer qcore, must not be
carried out by halves: it is an `UnreadableEntry`, shown and never fired.
"""

from types import GenericAlias
from typing import Any, Final, Literal

from attrs import NOTHING, fields
from msgspec import MsgspecError, defstruct, json
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
from qcore.domain.task_fields import REQUIRED

FORMAT: Final = 1
"""To be raised where an older qcore must not carry out what a newer one stores."""


def _strict(name: str, members: list[tuple[str, Any, Any]]) -> Any:
    """Return a type of JSON objects with these members and no others, unless they are left out."""
    made = [
        (member, kind) if default is REQUIRED or default is NOTHING else (member, kind, default)
        for member, kind, default in members
    ]
    # what has no default comes first
    made.sort(key=len)
    return defstruct(name, made, forbid_unknown_fields=True, omit_defaults=True, kw_only=True)


def _members(kind: type[Any], **types: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, types.get(each.name, each.type), each.default) for each in fields(kind)]


_TaskForm: Final = _strict("task", [(n, each.type, each.default) for n, each in FIELDS.items()])
_RecordForm: Final = _strict("tick", _members(TickRecord))
_StateForm: Final = _strict(
    "state", _members(EntryState, history=GenericAlias(tuple, (_RecordForm, ...)))
)
_EntryForm: Final = _strict(
    "entry",
    [
        ("format", Literal[1], REQUIRED),
        *_members(Entry, task=_TaskForm),
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
