"""A task as it is asked for: its fields, their defaults, and what each may be."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import Factory, field

from qcore.domain.errors import InvalidTask
from qcore.domain.moments import LAST_MOMENT, Moment
from qcore.domain.record import record

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
MAX_SHOWN: Final = 80
NUMBERS: Final = frozenset({int, float})
REJECT: Final = "reject"
REPLACE: Final = "replace"
NO_HEADERS: Final[Mapping[str, str]] = {}

CHANGEABLE: Final = frozenset(
    {
        "payload", "content_type", "priority", "max_retry", "max_crashes", "backoff", "deadline",
        "timeout", "expires", "retention", "headers",
    }
)  # fmt: skip
"""What of a stored task may be changed: nothing that says which task it is, or when it is due."""

ESSENTIAL_CONTENT_TYPE: Final = "application/json"


def _default_timeout(task: "NewTask") -> float | None:
    """Bound a run by 30 minutes unless a deadline bounds it already."""
    return DEFAULT_TIMEOUT if task.deadline is None else None


@record
class NewTask:
    """Ask for one unit of work.

    Durations are in seconds and moments in epoch seconds. Raises `InvalidTask`, which names the
    value, when one is out of its range: so a bad task cannot exist, let alone be stored.
    """

    name: str
    """Its type, such as "email:welcome": 1 to 256 characters."""
    id: TaskId
    """1 to 256 characters without blanks; unique in its queue while the task is stored."""
    payload: bytes = field(default=b"{}", repr=False)
    content_type: str = ESSENTIAL_CONTENT_TYPE
    queue: str = DEFAULT_QUEUE
    """1 to 128 characters, no braces, blanks or control characters."""
    priority: int = 0
    """-1000 to 1000; higher runs first within the queue."""
    due: Moment | None = None
    """Not to run before; None for at once."""
    max_retry: int = DEFAULT_MAX_RETRY
    """Retries after the first run."""
    max_crashes: int = DEFAULT_MAX_CRASHES
    """The crash that reaches this number is the last: the task is poison."""
    backoff: str | None = None
    """A curve as `spelled()`; None leaves the choice to the handler and the worker."""
    deadline: Moment | None = None
    """No run goes on past this."""
    timeout: float | None = Factory(_default_timeout, takes_self=True)
    """Seconds for one run; None for no limit. 1,800 unless a deadline is set."""
    expires: Moment | None = None
    """Not to start at or after this."""
    retention: float = 0.0
    """Seconds for which the completed task and its result are kept."""
    group: str | None = None
    """Tasks of one group are aggregated into one."""
    headers: Mapping[str, str] = field(default=NO_HEADERS, hash=False)
    unique_key: str | None = None
    """While this task lives, no other of this key goes into its queue: 1 to 256 characters."""
    unique_for: float | None = None
    """Seconds after which others may all the same; None for as long as it lives."""
    on_duplicate: str = REJECT
    """What this task does where another has the key: "reject" is to stay out, "replace" to take
    the place of one that does not run yet."""

    def __attrs_post_init__(self) -> None:
        """Refuse what no broker should have to store."""
        _check_text("name", self.name, MAX_NAME)
        _check_text("id", self.id, MAX_ID, without=" ")
        _check_text("queue", self.queue, MAX_QUEUE, without=" {}")
        _check_text("content_type", self.content_type, MAX_NAME)
        if type(self.payload) is not bytes:
            raise InvalidTask(f"payload is a {type(self.payload).__name__}: expected bytes")
        _check_whole("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        _check_whole("max_retry", self.max_retry, 0, MAX_BUDGET)
        _check_whole("max_crashes", self.max_crashes, 1, MAX_BUDGET)
        if self.timeout is not None and not (_is_number(self.timeout) and self.timeout > 0):
            raise InvalidTask(f"timeout is {self.timeout!r}: expected more than 0 seconds, or None")
        if not _is_number(self.retention):
            raise InvalidTask(f"retention is {self.retention!r}: expected 0 or more seconds")
        _check_moment("due", self.due)
        _check_moment("deadline", self.deadline)
        _check_moment("expires", self.expires)
        if self.due is not None and self.expires is not None and self.expires <= self.due:
            raise InvalidTask(f"expires ({self.expires!r}) is not after due ({self.due!r})")
        if self.group is not None:
            _check_text("group", self.group, MAX_NAME)
        if self.backoff is not None:
            _check_text("backoff", self.backoff, MAX_NAME)
        if self.headers:
            _check_headers(self.headers)
        if self.unique_key is not None:
            _check_text("unique_key", self.unique_key, MAX_ID)
        if self.unique_for is not None or self.on_duplicate != REJECT:
            self._check_unique()

    def _check_unique(self) -> None:
        if self.unique_key is None:
            raise InvalidTask("unique_for or on_duplicate is given without a unique_key")
        if self.unique_for is not None and not (_is_number(self.unique_for) and self.unique_for):
            raise InvalidTask(f"unique_for is {self.unique_for!r}: expected more than 0 seconds")
        if self.on_duplicate not in {REJECT, REPLACE}:
            raise InvalidTask(
                f"on_duplicate is {self.on_duplicate!r}: expected {REJECT!r} or {REPLACE!r}"
            )


def stored(  # noqa: PLR0917  (a field each)
    name: Any,
    id: Any,  # noqa: A002
    payload: Any,
    content_type: Any,
    queue: Any,
    priority: Any,
    due: Any,
    max_retry: Any,
    max_crashes: Any,
    backoff: Any,
    deadline: Any,
    timeout: Any,
    expires: Any,
    retention: Any,
    group: Any,
    headers: Any,
    unique_key: Any = None,
    unique_for: Any = None,
    on_duplicate: Any = REJECT,
) -> NewTask:
    """Return a task that was checked when it was enqueued.

    Written under other rules, or edited by hand, it must be readable all the same. It also saves
    the 4 µs that the checks take.
    """
    task: Any = NewTask.__new__(NewTask)
    task.name = name
    task.id = id
    task.payload = payload
    task.content_type = content_type
    task.queue = queue
    task.priority = priority
    task.due = due
    task.max_retry = max_retry
    task.max_crashes = max_crashes
    task.backoff = backoff
    task.deadline = deadline
    task.timeout = timeout
    task.expires = expires
    task.retention = retention
    task.group = group
    task.headers = headers
    task.unique_key = unique_key
    task.unique_for = unique_for
    task.on_duplicate = on_duplicate
    made: NewTask = task
    return made


def another(task: NewTask, id: TaskId, payload: bytes) -> NewTask:  # noqa: A002  (as the field)
    """Return the same with an id and a payload that are known to be right: nothing is checked."""
    return stored(
        task.name,
        id,
        payload,
        task.content_type,
        task.queue,
        task.priority,
        task.due,
        task.max_retry,
        task.max_crashes,
        task.backoff,
        task.deadline,
        task.timeout,
        task.expires,
        task.retention,
        task.group,
        task.headers,
        task.unique_key,
        task.unique_for,
        task.on_duplicate,
    )


def _check_text(what: str, value: str, most: int, without: str = "") -> None:
    """Refuse text that is blank, over-long or unprintable, or has a character of `without`."""
    # letters and digits alone, as in an id of ours, are fine whatever the rule
    if type(value) is str and len(value) <= most and value.isalnum():
        return
    if not isinstance(value, str):
        raise InvalidTask(f"{what} is {value!r}: expected text")
    if not 0 < len(value) <= most or not value.isprintable() or value.isspace():
        raise InvalidTask(
            f"{what} is {_shown(value)}: expected 1 to {most} printable characters, not all blank"
        )
    for mark in without:
        if mark in value:
            raise InvalidTask(f"{what} is {_shown(value)}: expected no {mark!r} in it")


def _check_whole(what: str, value: int, least: int, most: int) -> None:
    """Refuse what is not a whole number from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise InvalidTask(f"{what} is {value!r}: expected a whole number from {least} to {most}")


def _is_number(value: float) -> bool:
    """Return whether it is a number of seconds; one that is not a number fails any comparison."""
    return type(value) in NUMBERS and 0 <= value <= LAST_MOMENT


def _check_moment(what: str, value: Moment | None) -> None:
    """Refuse what is no moment; not a number fails every comparison."""
    if value is not None and not _is_number(value):
        raise InvalidTask(f"{what} is {value!r}: expected epoch seconds before the year 10000")


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that are not text to text; a lone surrogate is not text."""
    if not isinstance(headers, Mapping):
        raise InvalidTask(f"headers is {headers!r}: expected a mapping of text to text")
    for key, value in headers.items():
        if {type(key), type(value)} != {str}:
            raise InvalidTask(f"header {key!r} is {value!r}: expected text to text")
        try:
            (key + value).encode()
        except UnicodeEncodeError as error:
            raise InvalidTask(f"header {key!r} is {value!r}: {error.reason}") from None


def _shown(value: str) -> str:
    """Return a value short enough for an error message."""
    return repr(value) if len(value) <= MAX_SHOWN else f"{value[:60]!r}… ({len(value)} characters)"
