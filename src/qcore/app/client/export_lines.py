"""The lines of an export: one JSON object each, read strictly.

    {"kind": "header", "version": 1, "qcore": "0.1.0", "exported": 1764500000.0}
    {"kind": "limits", "queue": "mail", "in_flight": 5}
    {"kind": "task", "task": {"name": …, "id": …, "queue": …, "payload": …}, "state": …, …}
    {"kind": "entry", "entry": {…}}
    {"kind": "end", "limits": 1, "tasks": 1, "entries": 1}

What is as usual is left out. Bytes stand as text where they are UTF-8, and else in base64: either
way they come back byte for byte, whatever their content type.
"""

from collections.abc import Iterable
from types import GenericAlias
from typing import Any, Final, Literal, TypeAlias

from msgspec import MsgspecError, Raw, defstruct, json
from msgspec.structs import asdict

from qcore.domain.audit import AuditRecord
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.moments import Moment
from qcore.domain.new_task import DEFAULT_QUEUE, FIELDS, NewTask
from qcore.domain.periodic.entry import StoredEntry
from qcore.domain.periodic.stored_form import decode_entry, encode_entry
from qcore.domain.queue_limits import Limits, Rate
from qcore.domain.record import record
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.strict_forms import Member, members_of, strict_form
from qcore.domain.task import Task, changed
from qcore.domain.task_fields import REQUIRED
from qcore.domain.transitions import Updated

VERSION: Final = 1
"""Of the lines: raised where an older qcore would misread them."""

KINDS: Final = ("limits", "task", "entry")
"""What lines between header and end are, in the order in which they are written."""


@record
class Header:
    """The first line: which format it is, who wrote it, and when."""

    version: int
    qcore: str
    exported: Moment


@record
class QueueLimits:
    """A line with the limits of a queue."""

    queue: str
    limits: Limits


@record
class End:
    """The last line: how many lines of each kind there are."""

    limits: int
    tasks: int
    entries: int

    @property
    def lines(self) -> int:
        """Return how many lines stand between header and end."""
        return self.limits + self.tasks + self.entries


Line: TypeAlias = Header | QueueLimits | TaskSnapshot | StoredEntry | End


class BrokenLine(ValueError):
    """A line cannot be read; the message says why."""


def _content(name: str) -> list[Member]:
    """Return the members for bytes: as text, or in base64."""
    return [(name, str | None, None), (f"{name}_base64", bytes | None, None)]


_SPEC: Final = [(n, each.type, each.default) for n, each in FIELDS.items() if n != "payload"]
_RUN: Final = [member for member in members_of(Task) if member[0] not in {"spec", "result"}]
_ERROR: Final = members_of(AttemptError)
_PROGRESS: Final = members_of(Progress)
_AUDIT: Final = members_of(AuditRecord)
_RATE: Final = members_of(Rate)
_HEADER: Final = members_of(Header)
_END: Final = members_of(End)
_TaskForm: Final = strict_form("task", [*_SPEC, *_content("payload")])
_ErrorForm: Final = strict_form("error", _ERROR)
_AuditForm: Final = strict_form("audit", _AUDIT)
_ProgressForm: Final = strict_form("progress", _PROGRESS)
_RateForm: Final = strict_form("rate", _RATE)
_HeaderForm: Final = strict_form("header", _HEADER, tag="header")
_LimitsForm: Final = strict_form(
    "limits",
    [
        ("queue", str, REQUIRED),
        ("rate", _RateForm | None, None),
        ("in_flight", int | None, None),
        ("is_paused", bool, False),
    ],
    tag="limits",
)
_SnapshotForm: Final = strict_form(
    "snapshot",
    [
        ("task", _TaskForm, REQUIRED),
        *_RUN,
        *_content("result"),
        ("errors", GenericAlias(tuple, (_ErrorForm, ...)), ()),
        ("progress", _ProgressForm | None, None),
        ("audit", GenericAlias(tuple, (_AuditForm, ...)), ()),
        *_content("saved"),
    ],
    tag="task",
)
_EntryForm: Final = strict_form("entry", [("entry", Raw, REQUIRED)], tag="entry")
_EndForm: Final = strict_form("end", _END, tag="end")

_decode: Final = json.Decoder(
    _HeaderForm | _LimitsForm | _SnapshotForm | _EntryForm | _EndForm
).decode
_encode: Final = json.Encoder().encode

# whatever else is there, as a newer qcore may have written it
_VersionForm: Final[Any] = defstruct("version", [("kind", Literal["header"]), ("version", int)])
_IdForm: Final[Any] = defstruct("id", [("id", str), ("queue", str, DEFAULT_QUEUE)])
_NamedForm: Final[Any] = defstruct("named", [("task", _IdForm)])
_decode_version: Final = json.Decoder(_VersionForm).decode
_decode_named: Final = json.Decoder(_NamedForm).decode

_FLOATS: Final = frozenset(
    name
    for members in (_SPEC, _RUN, _ERROR, _PROGRESS, _AUDIT, _RATE)
    for name, kind, _ in members
    if "float" in str(kind)
)
"""Members that are numbers of seconds: a store may have whole ones as whole numbers."""


def encode(line: Line) -> bytes:
    """Return a line, without its end."""
    match line:
        case Header():
            form = _HeaderForm(**_unusual(line, _HEADER))
        case End():
            form = _EndForm(**_unusual(line, _END))
        case QueueLimits():
            form = _limits_form(line)
        case TaskSnapshot():
            form = _snapshot_form(line)
        case _:
            form = _EntryForm(entry=Raw(encode_entry(line)))
    encoded: bytes = _encode(form)
    return encoded


def decode(line: bytes) -> Line:
    """Return what a line says; raise `BrokenLine`."""
    try:
        form = _decode(line)
        if isinstance(form, _HeaderForm):
            return Header(**asdict(form))
        if isinstance(form, _EndForm):
            return End(**asdict(form))
        if isinstance(form, _LimitsForm):
            return _limits(form)
        return _snapshot(form) if isinstance(form, _SnapshotForm) else _entry(form.entry)
    except (MsgspecError, InvalidTask, InvalidOption, RecursionError, UnicodeError) as error:
        raise BrokenLine(str(error)) from None


def version_of(line: bytes) -> int | None:
    """Return the version of the export of which this is the first line; None if it is none.

    It is read apart: that of a newer qcore may have other members.
    """
    try:
        version: int = _decode_version(line).version
    except (MsgspecError, RecursionError, UnicodeError):
        return None
    return version


def end_of(line: bytes) -> End | None:
    """Return the end of an export, None for any other line."""
    if b'"end"' not in line:
        return None
    try:
        found = decode(line)
    except BrokenLine:
        return None
    return found if isinstance(found, End) else None


# --- to forms -----------------------------------------------------------------------------------


def _unusual(value: object, members: Iterable[Member]) -> dict[str, Any]:
    """Return the members of a value that are not as their defaults, seconds as floats."""
    return {
        name: float(found) if name in _FLOATS and found is not None else found
        for name, _, default in members
        if (found := getattr(value, name)) != default
    }


def _bytes_as(name: str, content: bytes | None) -> dict[str, Any]:
    """Return bytes as the members that have them."""
    if content is None:
        return {}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": content}


def _limits_form(line: QueueLimits) -> Any:
    limits = line.limits
    rate = None if limits.rate is None else _RateForm(**_unusual(limits.rate, _RATE))
    return _LimitsForm(
        queue=line.queue, rate=rate, in_flight=limits.in_flight, is_paused=limits.is_paused
    )


def _snapshot_form(snapshot: TaskSnapshot) -> Any:
    task, details = snapshot.task, snapshot.details
    return _SnapshotForm(
        task=_TaskForm(**_unusual(task.spec, _SPEC), **_bytes_as("payload", task.spec.payload)),
        **_unusual(task, _RUN),
        **_bytes_as("result", task.result),
        errors=tuple(_ErrorForm(**_unusual(each, _ERROR)) for each in details.errors),
        progress=None
        if details.progress is None
        else _ProgressForm(**_unusual(details.progress, _PROGRESS)),
        **_bytes_as("saved", details.saved),
        audit=tuple(_AuditForm(**_unusual(each, _AUDIT)) for each in details.audit),
    )


# --- from forms ---------------------------------------------------------------------------------


def _content_of(members: dict[str, Any], name: str) -> bytes | None:
    """Take the members of bytes out of others; return the bytes."""
    text, encoded = members.pop(name), members.pop(f"{name}_base64")
    if text is not None and encoded is not None:
        raise BrokenLine(f"both {name} and {name}_base64 are given: expected one of them")
    return encoded if text is None else str(text).encode()


def _limits(form: Any) -> QueueLimits:
    FIELDS["queue"].check("queue", form.queue)
    rate = None if form.rate is None else Rate(**asdict(form.rate))
    return QueueLimits(form.queue, Limits(rate, form.in_flight, form.is_paused))


def _snapshot(form: Any) -> TaskSnapshot:
    members = asdict(form)
    spec = asdict(members.pop("task"))
    payload = _content_of(spec, "payload")
    if payload is None:
        raise BrokenLine("neither payload nor payload_base64 is given")
    errors = tuple(AttemptError(**asdict(each)) for each in members.pop("errors"))
    audit = tuple(AuditRecord(**asdict(each)) for each in members.pop("audit"))
    progress = members.pop("progress")
    details = Details(
        errors,
        None if progress is None else Progress(**asdict(progress)),
        _content_of(members, "saved"),
        audit,
    )
    result = _content_of(members, "result")
    return TaskSnapshot(
        Task(_spec({**spec, "payload": payload}), result=result, **members), details
    )


def _spec(members: dict[str, Any]) -> NewTask:
    """Return a task as it was asked for, or updated since: then it may expire before it is due."""
    expires = members.pop("expires")
    spec = NewTask(**members)
    if expires is None:
        return spec
    FIELDS["expires"].check("expires", expires)
    return changed(spec, Updated({"expires": expires}))


def _entry(encoded: Raw) -> StoredEntry:
    task = _decode_named(encoded).task
    stored = decode_entry(task.queue, task.id, bytes(encoded), "")
    if isinstance(stored, StoredEntry):
        return stored
    raise BrokenLine(stored.why)
