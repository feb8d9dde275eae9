"""A task as it is asked for: each of its fields is declared here, once.

A declaration has the field's type and default, and in `option(…)` its check, examples of its
values, whether it may be changed and whether stores need it apart. All else follows from it:
`CHANGEABLE`, the checks, what the stores write of it, the strategies of the state machine, and what
the contract asks of every broker. See docs/how-to/add-a-task-option.md.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from attrs import NOTHING, Factory, field, fields

from qcore.domain.errors import InvalidTask
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.task_fields import (
    REQUIRED,
    TaskField,
    binary,
    checker,
    compiled,
    declared,
    moment,
    one_of,
    option,
    or_none,
    seconds,
    some_seconds,
    text,
    text_to_text,
    whole,
    whole_or,
)
from qcore.domain.text import shown

TaskId: TypeAlias = str
"""Unique within its queue while the task is stored."""

DEFAULT_QUEUE: Final = "default"
DEFAULT_MAX_RETRY: Final = 25
DEFAULT_MAX_CRASHES: Final = 3
DEFAULT_TIMEOUT: Final = 1800.0
MAX_NAME: Final = 256
MAX_QUEUE: Final = 128
MAX_ID: Final = 256
MAX_PRIORITY: Final = 1000
MAX_BUDGET: Final = 1_000_000
ENDLESS: Final = 2_147_483_647
"""As `max_retry`: there is no last retry. Any store's whole number holds it."""
FOREVER: Final = 250_000_000_000.0
"""As `retention`: seconds, 7,900 years, after which it is still before the year 10000."""
REJECT: Final = "reject"
REPLACE: Final = "replace"
RERUN: Final = "rerun"
KEEP: Final = "keep"
NO_HEADERS: Final[Mapping[str, str]] = FrozenDict()
ESSENTIAL_CONTENT_TYPE: Final = "application/json"
MAX_TAGS: Final = 10
MAX_TAG: Final = 64

_SOON: Final[Moment] = 1_800_000_060.25
"""A moment in 2027, for examples; with a fraction, as no store may round it."""

_check_tag: Final = text(MAX_TAG, without=" ,")


def _default_timeout(task: "NewTask") -> float | None:
    """Bound a run by 30 minutes unless a deadline bounds it already."""
    return DEFAULT_TIMEOUT if task.deadline is None else None


def own_tags(tags: Collection[str]) -> tuple[str, ...]:
    """Return a copy of tags, in order, each once; odd ones as they are, for the check to name."""
    if tags == ():
        # most tasks have none: to ask what it is takes longer
        return ()
    if not _is_collection(tags):
        raise InvalidTask(
            f"tags is {shown(tags)}: expected a collection of strings, such as ['eu']"
        )
    if any(type(tag) is not str for tag in tags):
        return tuple(tags)
    return tuple(sorted({*tags}))


def own_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers that nobody else can change; odd ones as they are, for the check to name."""
    if isinstance(headers, FrozenDict) or not isinstance(headers, Mapping):
        return headers
    return FrozenDict(headers)


def _is_collection(value: object) -> bool:
    """Return whether it is a set, a list or the like: no single string, and no iterator.

    An iterator is empty once it was read, and a handler's options are read more than once.
    """
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _check_tags(what: str, tags: tuple[str, ...]) -> None:
    """Refuse too many tags, and those that are not short words."""
    for tag in tags:
        _check_tag(f"one of {what}", tag)
    if len(tags) > MAX_TAGS:
        raise InvalidTask(f"{what} is {shown(tags)}: expected at most {MAX_TAGS}, not {len(tags)}")


@record
class NewTask:
    """Ask for one unit of work.

    Durations are in seconds and moments in epoch seconds. Raises `InvalidTask`, which names the
    value, when one is out of its range: so a bad task cannot exist, let alone be stored.
    """

    name: str = field(metadata=option(text(MAX_NAME), "email:welcome v2 – naïve"))
    """Its type, such as "email:welcome": 1 to 256 characters."""
    id: TaskId = field(metadata=option(text(MAX_ID, without=" "), "order/2026%07:é", indexed=True))
    """1 to 256 characters without blanks; unique in its queue while the task is stored."""
    payload: bytes = field(
        default=b"{}", repr=False, metadata=option(binary, bytes(range(256)), b"", changeable=True)
    )
    content_type: str = field(
        default=ESSENTIAL_CONTENT_TYPE,
        metadata=option(text(MAX_NAME), "application/msgpack; v=1", changeable=True),
    )
    queue: str = field(
        default=DEFAULT_QUEUE,
        metadata=option(text(MAX_QUEUE, without=" {}"), "critical.eu-1", indexed=True),
    )
    """1 to 128 characters, no braces, blanks or control characters."""
    priority: int = field(
        default=0,
        metadata=option(
            whole(-MAX_PRIORITY, MAX_PRIORITY), -7, MAX_PRIORITY, changeable=True, indexed=True
        ),
    )
    """-1000 to 1000; higher runs first within the queue."""
    due: Moment | None = field(default=None, metadata=option(moment, _SOON, indexed=True))
    """Not to run before; None for at once."""
    max_retry: int = field(
        default=DEFAULT_MAX_RETRY,
        metadata=option(whole_or(ENDLESS, 0, MAX_BUDGET), 0, MAX_BUDGET, ENDLESS, changeable=True),
    )
    """Retries after the first run; `ENDLESS` for retries without end."""
    max_crashes: int = field(
        default=DEFAULT_MAX_CRASHES,
        metadata=option(whole(1, MAX_BUDGET), 1, MAX_BUDGET, changeable=True, indexed=True),
    )
    """The crash that reaches this number is the last: the task is poison."""
    backoff: str | None = field(
        default=None,
        metadata=option(or_none(text(MAX_NAME)), "exponential:0.1:60.0:1", changeable=True),
    )
    """A curve as `spelled()`; None leaves the choice to the handler and the worker."""
    deadline: Moment | None = field(
        default=None, metadata=option(moment, _SOON + 3_600.125, changeable=True)
    )
    """No run goes on past this."""
    timeout: float | None = field(
        default=Factory(_default_timeout, takes_self=True),
        metadata=option(some_seconds, 0.001, None, changeable=True),
    )
    """Seconds for one run; None for no limit. 1,800 unless a deadline is set."""
    expires: Moment | None = field(
        default=None, metadata=option(moment, _SOON + 60.25, changeable=True, indexed=True)
    )
    """Not to start at or after this."""
    retention: float = field(
        default=0.0, metadata=option(seconds, 0.25, 86_400, FOREVER, changeable=True, indexed=True)
    )
    """Seconds for which the completed task and its result are kept; `FOREVER` for good."""
    group: str | None = field(
        default=None, metadata=option(or_none(text(MAX_NAME)), "daily digest | ü", indexed=True)
    )
    """Tasks of one group are aggregated into one."""
    headers: Mapping[str, str] = field(
        default=NO_HEADERS,
        converter=own_headers,
        hash=False,
        metadata=option(
            text_to_text,
            {"traceparent": "00-ab-cd-01", "": "empty", "blank ": "", "ключ": "✓\n\t"},
            changeable=True,
        ),
    )
    unique_key: str | None = field(
        default=None, metadata=option(or_none(text(MAX_ID)), "✓ a|b {c} 1 2", " - ", indexed=True)
    )
    """While this task lives, no other of this key goes into its queue: 1 to 256 characters."""
    unique_for: float | None = field(
        default=None,
        metadata=option(some_seconds, 0.25, 86_400, together={"unique_key": "k"}),
    )
    """Seconds after which others may all the same; None for as long as it lives."""
    on_duplicate: str = field(
        default=REJECT,
        metadata=option(
            one_of(REJECT, REPLACE, RERUN), REPLACE, RERUN, together={"unique_key": "k"}
        ),
    )
    """What this task does where another has the key: "reject" is to stay out, "replace" to take
    the place of one that does not run yet, "rerun" besides to wait for the end of one that does."""
    on_conflict: str = field(default=REPLACE, metadata=option(one_of(REPLACE, KEEP), KEEP))
    """What this task does where one of its id is stored that has ended: "replace" it, or "keep" it
    and stay out. One that lives is always kept."""
    tags: tuple[str, ...] = field(
        default=(),
        converter=own_tags,
        metadata=option(_check_tags, ("eu", "x" * MAX_TAG, "ключ:✓"), changeable=True),
    )
    """Words to find it by, sorted, each once; asked for as any collection of strings. At most 10 of
    1 to 64 characters without blanks and commas."""

    @property
    def is_endless(self) -> bool:
        """Whether it is retried without end."""
        return self.max_retry == ENDLESS

    @property
    def is_kept_for_good(self) -> bool:
        """Whether the completed task is kept until it is deleted."""
        return self.retention == FOREVER

    def __attrs_post_init__(self) -> None:
        """Refuse what no broker should have to store."""
        _check_fields(self)
        if self.due is not None and self.expires is not None and self.expires <= self.due:
            raise InvalidTask(f"expires ({self.expires!r}) is not after due ({self.due!r})")
        if self.unique_key is None and (self.unique_for is not None or self.on_duplicate != REJECT):
            raise InvalidTask("unique_for or on_duplicate is given without a unique_key")


_check_fields: Final = checker(fields(NewTask))

USUAL: Final = NewTask("?", id="?")
"""A task of which nothing was asked but that it is one."""

FIELDS: Final[Mapping[str, TaskField]] = {
    each.name: declared(each, REQUIRED if each.default is NOTHING else getattr(USUAL, each.name))
    for each in fields(NewTask)
}
"""What is declared of each field, by name."""

CHANGEABLE: Final = frozenset(each.name for each in FIELDS.values() if each.is_changeable)
"""What of a stored task may be changed: nothing that says which task it is, or when it is due."""


def unchecked_builder(
    parameters: str, sources: Mapping[str, str], *, first: str = "pass", **known: object
) -> Callable[..., NewTask]:
    """Return a function that makes a task of its arguments without checking it.

    `sources` has a Python expression for each field, of the function's parameters, of what is
    `known` by name and of the names that the statement `first` binds. Raises `KeyError` for a field
    that is not in it.

    For what was checked when it was enqueued: written under other rules, or edited by hand, it must
    be readable all the same. It is compiled, as attrs compiles `__init__`, because all that is
    claimed goes through it: 0.3 µs, where values by keyword take 2 and the checks another 3.
    """
    statements = [first, *(f"made.{name} = {sources[name]}" for name in FIELDS)]
    return _builder(parameters, statements, known)


def _builder(
    parameters: str, statements: Iterable[str], known: Mapping[str, object]
) -> Callable[..., NewTask]:
    lines = [f"def build({parameters}):", "    made = new(NewTask)"]
    lines += [f"    {statement}" for statement in statements]
    lines += ["    return made"]
    scope = {"new": NewTask.__new__, "NewTask": NewTask, **known}
    builder: Callable[..., NewTask] = compiled("build", lines, scope)
    return builder


def _usual_builder(*asked: str) -> Callable[..., NewTask]:
    others = {name: each.default for name, each in FIELDS.items() if name not in asked}
    # unpacked in one statement: half the instructions of a statement for each
    unpacking = f"{', '.join(f'made.{name}' for name in others)} = others"
    statements = [*(f"made.{name} = {name}" for name in asked), unpacking]
    return _builder(", ".join(asked), statements, {"others": tuple(others.values())})


usual_task: Final[Callable[[str, TaskId, str, bytes], NewTask]] = _usual_builder(
    "queue", "id", "name", "payload"
)
"""Return a task of which nothing else was asked, unchecked: most are such."""


another: Final[Callable[[NewTask, TaskId, bytes], NewTask]] = unchecked_builder(
    "task, id, payload",
    {name: f"task.{name}" for name in FIELDS} | {"id": "id", "payload": "payload"},
)
"""Return the same task with an id and a payload that are known to be right, unchecked."""


def with_headers(task: NewTask, headers: Mapping[str, str]) -> NewTask:
    """Return the same task with other headers; raise `InvalidTask` if those are wrong."""
    text_to_text("headers", headers)
    made: Any = another(task, task.id, task.payload)
    made.headers = own_headers(headers)
    asked: NewTask = made
    return asked
