"""Encode tasks to what Redis stores of them, and decode it.

A task is a value in the hash `tasks` (sequence, metadata, options; see keys.py) and, once it was
claimed, a run record in the hash `progress`. The scripts parse the metadata and the run record;
the options, MessagePack behind a bar, are read by Python alone.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from operator import attrgetter
from typing import Any, Final
from urllib.parse import quote, unquote

from msgspec import MsgspecError, defstruct
from msgspec.msgpack import Decoder, Encoder

from qcore.adapters.redis.encoding import end_of_sequence
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.new_task import (
    DEFAULT_MAX_CRASHES,
    FIELDS,
    NO_HEADERS,
    NewTask,
    unchecked_builder,
    usual_task,
)
from qcore.domain.states import ACTIVE, ENDED, State
from qcore.domain.task import Task
from qcore.domain.task_fields import default_test

BAR: Final = ord("|")
SAFE: Final = "/:@+,="
"""What need not be quoted in a unique key or a group besides letters, digits and "_.-~"."""
AS_ASKED: Final[Moment] = -1.0
"""In a run record: due at the moment that was asked for, or else when it was enqueued."""


class Unreadable(ValueError):
    """Say why what is stored cannot be read as a task."""


PLACES: Final = {
    "due": float | None,
    "timeout": float | None,
    "max_retry": int,
    "content_type": str,
    "headers": dict[str, str] | None,
    "deadline": float | None,
    "backoff": str | None,
    "group": str | None,
    "unique_for": float | None,
    "on_duplicate": str,
}
"""The fields that have a place of their own in a `Spec`, in order, and the type of what is stored
there: None stands for no headers. Never changed, as it is what stored tasks look like."""

META_FIELDS: Final = ("priority", "expires", "retention", "max_crashes", "group", "unique_key")
"""The fields that scripts read."""

NAMED: Final = [
    each
    for each in FIELDS.values()
    if not (each.is_indexed or each.name in PLACES or each.name in {"name", "payload"})
]
"""All other fields: these have no place, but go by their names."""

More: Final[Any] = defstruct(
    "More",
    [(each.name, each.type, each.default) for each in NAMED],
    frozen=True,
    omit_defaults=True,
)
"""A map of those other fields that are not as usual.

One of a name that is not known, which a newer qcore has written, is passed over; it is lost if the
older one then changes what was asked for.
"""

NOTHING_MORE: Final = More()


def _usual(name: str) -> Any:
    """Return what is at a field's place where it is as usual."""
    return None if name == "headers" else FIELDS[name].default


Spec: Final[Any] = defstruct(
    "Spec",
    [
        ("name", str),
        ("created", float),
        ("payload", bytes),
        *((name, kind, _usual(name)) for name, kind in PLACES.items()),
        ("more", More, NOTHING_MORE),
    ],
    array_like=True,
    gc=False,
)
"""What Lua never reads of a task, an array; what is as usual at its end is left out."""

_encode: Final = Encoder().encode
_decode: Final = Decoder(Spec).decode
_decode_plain: Final = Decoder(tuple[str, float, bytes]).decode
PLAIN: Final = b"\x93"
"""How a `Spec` begins that has a name, the moment of its enqueue and a payload alone."""

_placed: Final = attrgetter(*PLACES)
_HEADERS: Final = [*PLACES].index("headers")
_END: Final = [*PLACES].index("unique_for")
"""Where the places begin that are left out unless one of them differs from its default."""

_has_default_places: Final = default_test([FIELDS[name] for name in PLACES])
_has_default_end: Final = default_test([FIELDS[name] for name in [*PLACES][_END:]])
_has_default_names: Final = default_test(NAMED)
_is_usual: Final = default_test(
    [each for each in FIELDS.values() if each.name not in {"id", "queue", "name", "payload", "due"}]
)
"""Return whether nothing else was asked of a new task."""
has_default_meta: Final = default_test([FIELDS[name] for name in META_FIELDS])
"""Return whether the metadata of a new task are the defaults."""


def encode_task(task: NewTask, now: Moment) -> bytes:
    """Return a new task as it is stored behind its sequence: metadata, a bar, and its `Spec`."""
    spec: list[Any] = [task.name, now, task.payload]
    if task.due is None and _is_usual(task):
        return b"|" + _encode(spec)
    if not (_has_default_places(task) and _has_default_names(task)):
        spec += _tail_of(task)
    if has_default_meta(task):
        return b"|" + _encode(spec)
    meta = TaskMeta(
        -task.priority,
        task.expires,
        task.retention,
        task.max_crashes,
        task.group,
        None if task.unique_key is None else quote(task.unique_key, SAFE),
    )
    return meta.text().encode() + _encode(spec)


def _tail_of(task: NewTask) -> list[Any]:
    """Return what is behind the payload of a task of which something there is not as usual."""
    tail = [*_placed(task)]
    tail[_HEADERS] = dict(task.headers) or None
    if not _has_default_names(task):
        return [*tail, More(*(getattr(task, each.name) for each in NAMED))]
    if _has_default_end(task):
        del tail[_END:]
    return tail


class TaskMeta:
    """The metadata of a task: those options that the scripts and the transition table need."""

    __slots__ = ("expires", "group", "max_crashes", "neg_priority", "retention", "unique")

    def __init__(  # noqa: PLR0917  (a field each)
        self,
        neg_priority: int = 0,
        expires: Moment | None = None,
        retention: float = 0.0,
        max_crashes: int = DEFAULT_MAX_CRASHES,
        group: str | None = None,
        unique: str | None = None,
    ) -> None:
        self.neg_priority = neg_priority
        self.expires = expires
        self.retention = retention
        self.max_crashes = max_crashes
        self.group = group
        self.unique = unique
        """Its unique key, quoted as in a URL: without blanks and bars."""

    def text(self) -> str:
        """Return the metadata as they are stored, with the bar behind them."""
        expires = _or_dash(self.expires)
        grouped = "0" if self.group is None else f"1{quote(self.group, SAFE)}"
        unique = "" if self.unique is None else f" {self.unique}"
        return (
            f"{self.neg_priority} {expires} {self.retention!r} {self.max_crashes} "
            f"{grouped}{unique}|"
        )


DEFAULT_META: Final = TaskMeta()


def decode_meta(value: bytes) -> TaskMeta:
    """Return the metadata of a stored task; raise `Unreadable`."""
    start = end_of_sequence(value)
    if value[start : start + 1] == b"|":
        return DEFAULT_META
    try:
        neg_priority, expires, retention, crashes, grouped, *unique = (
            value[start : value.index(b"|")].decode().split(" ")
        )
        meta = TaskMeta(
            int(neg_priority),
            _moment(expires),
            float(retention),
            int(crashes),
            unquote(grouped[1:]) if grouped[0] == "1" else None,
            _only(unique),
        )
        if not (isfinite(meta.retention) and isfinite(meta.expires or 0)):
            # NaN and infinity parse as floats, and are no scores
            raise ValueError("expected seconds")  # noqa: TRY301  (it says why, as the others do)
    except ValueError as error:
        raise Unreadable(f"its metadata are {value[:60]!r} ({error})") from None
    return meta


def _only(words: Sequence[str]) -> str | None:
    if not words:
        return None
    (word,) = words
    return word


def _or_dash(moment: Moment | None) -> str:
    return "-" if moment is None else repr(moment)


def _moment(text: str) -> Moment | None:
    return None if text == "-" else float(text)


class RunRecord:
    """The run record of a task: its token, attempts, moments, last error and result.

    Raises `Unreadable`.
    """

    def __init__(self, record: bytes | None) -> None:
        self.token = 0
        self.attempts = 0
        self.failures = 0
        self.crashes = 0
        self.due: Moment = AS_ASKED
        self.unhandled_since: Moment | None = None
        self.finished: Moment | None = None
        self.error: str | None = None
        self.result_type: str | None = None
        self.result: bytes | None = None
        if record is not None:
            try:
                self._read(record)
            except ValueError as error:
                raise Unreadable(f"its record is {record[:60]!r} ({error})") from None

    def _read(self, record: bytes) -> None:
        if b" " not in record:
            # a bare token: the first attempt of a task with default metadata
            self.token, self.attempts = int(record), 1
            return
        bar = record.index(b"|")
        token, attempts, failures, crashes, due, unhandled, finished, *sizes = (
            record[:bar].decode().split(" ")
        )
        self.token, self.attempts = int(token), int(attempts)
        self.failures, self.crashes = int(failures), int(crashes)
        self.due = AS_ASKED if due == "-" else float(due)
        self.unhandled_since, self.finished = _moment(unhandled), _moment(finished)
        error, result_type, self.result = _texts(record[bar + 1 :], sizes)
        self.error = None if error is None else error.decode(errors="replace")
        self.result_type = None if result_type is None else result_type.decode(errors="replace")

    def text(self) -> bytes:
        """Return the record as stored: numbers, the sizes of three texts ("-" for none), they."""
        texts = [
            None if self.error is None else self.error.encode(errors="replace"),
            None if self.result_type is None else self.result_type.encode(errors="replace"),
            self.result,
        ]
        due = "-" if self.due == AS_ASKED else repr(self.due)
        sizes = " ".join("-" if text is None else str(len(text)) for text in texts)
        head = (
            f"{self.token} {self.attempts} {self.failures} {self.crashes} {due} "
            f"{_or_dash(self.unhandled_since)} {_or_dash(self.finished)} {sizes}|"
        )
        return head.encode() + b"".join(text for text in texts if text is not None)


def _texts(joined: bytes, sizes: Iterable[str]) -> list[bytes | None]:
    texts: list[bytes | None] = []
    at = 0
    for size in sizes:
        texts.append(None if size == "-" else joined[at : at + int(size)])
        at += 0 if size == "-" else int(size)
    return texts


_asked_of: Final = unchecked_builder(
    "queue, id, spec, meta",
    {
        **{each.name: f"spec.more.{each.name}" for each in NAMED},
        **{name: f"spec.{name}" for name in PLACES},
        "headers": "none if spec.headers is None else frozen(spec.headers)",
        "id": "id",
        "queue": "queue",
        "name": "spec.name",
        "payload": "spec.payload",
        "priority": "-meta.neg_priority",
        "expires": "meta.expires",
        "retention": "meta.retention",
        "max_crashes": "meta.max_crashes",
        "unique_key": "None if meta.unique is None else unquote(meta.unique)",
    },
    none=NO_HEADERS,
    frozen=FrozenDict,
    unquote=unquote,
)
_unreadable: Final = unchecked_builder(
    "queue, id, payload",
    {name: f"placeholder.{name}" for name in FIELDS}
    | {"id": "id", "queue": "queue", "payload": "payload"},
    placeholder=NewTask(
        "unreadable",
        id="?",
        content_type="application/octet-stream",
        max_retry=0,
        max_crashes=1,
        timeout=None,
    ),
)


def decode_claimed(
    queue: str,
    id: str,  # noqa: A002  (as the field is called)
    value: bytes,
    record: bytes | None,
) -> tuple[Task, bytes, bool]:
    """Decode a task that was just claimed; raise `Unreadable`.

    `record` is None where it is the bare token of a first attempt. Returns the task, the head of
    its value, up to the bar, and whether a success just deletes it: nothing of it is kept, and it
    holds no unique key.
    """
    bar = value.find(b"|")
    head = value[: bar + 1]
    # as `end_of_sequence` has it, without its call: this is asked of every task that is claimed
    has_default_head = bar > 0 and value[0] - 95 == bar
    if record is None and has_default_head and value.startswith(PLAIN, bar + 1):
        # as nearly all are; what is wrong with one is said below
        try:
            name, created, payload = _decode_plain(value[bar + 1 :])
        except MsgspecError:
            pass
        else:
            asked = usual_task(queue, id, name, payload)
            return Task(asked, ACTIVE, created, created, 1), head, True
    task = decode_task(queue, id, ACTIVE, value, record or b"1")
    return task, head, task.spec.unique_key is None and not task.spec.retention


def decode_task(queue: str, id: str, state: State, value: bytes, record: bytes | None) -> Task:  # noqa: A002
    """Decode a task from its value and run record; raise `Unreadable`."""
    meta = decode_meta(value)
    try:
        spec = _decode(memoryview(value)[value.index(b"|") + 1 :])
    except (MsgspecError, ValueError) as error:
        raise Unreadable(f"its options cannot be read ({error})") from None
    asked = _asked_of(queue, id, spec, meta)
    due = spec.created if spec.due is None or spec.due < spec.created else spec.due
    if record is None or record.isdigit():
        return Task(asked, state, spec.created, due, 0 if record is None else 1)
    progress = RunRecord(record)
    return Task(
        asked,
        state,
        spec.created,
        due if progress.due == AS_ASKED else progress.due,
        progress.attempts,
        progress.failures,
        progress.crashes,
        progress.error,
        progress.finished if state in ENDED else None,
        progress.result,
        progress.result_type,
        progress.unhandled_since,
    )


def decode_or_describe(
    queue: str,
    id: str,  # noqa: A002  (as the field is called)
    state: State,
    value: bytes,
    record: bytes | None,
) -> Task:
    """Decode a task; of one that cannot be decoded, return a task whose error says so."""
    try:
        return decode_task(queue, id, state, value, record)
    except Unreadable as why:
        # unchecked: the id and queue need not fit today's rules for new tasks
        asked = _unreadable(queue, id, value)
        return Task(asked, state, 0.0, 0.0, error=f"what is stored of it cannot be read: {why}")
